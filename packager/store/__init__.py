"""Where releases and their records are kept: a folder, or a prefix of an S3 bucket.

    store = open("s3://releases/gateway")
    store.write("gateway/2.0.0.json", record)

A name is relative and may have folders in it. What is kept under one appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from packager.store.folder import Folder
from packager.store.sums import Held, Sent, Sums


class Store(Protocol):
    """Files under names; every method raises an OtaError where the store does not do as asked."""

    @property
    def target(self) -> str:
        """What the operator calls it, for messages."""

    def names(self, prefix: str = "") -> list[str]:
        """What is kept under names that start so, in their order."""

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Keep a small file, in place of an earlier one."""

    def remove(self, name: str) -> None:
        """Keep it no longer; it may be absent already."""

    def holds(self, name: str, sums: Sums, *, by_reading: bool = False) -> Held:
        """Whether the file with these sums is kept under that name, and what tells.

        Args:
            by_reading: trust no sum that the store keeps: read the file.
        """

    def send(
        self, name: str, file: Path, sums: Sums, *, overwrite: bool, told: Callable[[int], None]
    ) -> Sent:
        """Keep a file of any size; what an earlier attempt sent is not sent again.

        Args:
            overwrite: in place of another one; without, that is an error.
            told: is called with the bytes of each part that is there.
        """

    def abandon(self, name: str) -> int:
        """Throw away what attempts left that did not end; how many there were."""


def open(target: str) -> Store:
    """The store that an operator names: `s3://BUCKET/PREFIX`, or a folder, made when it is written to.

    Raises:
        ConfigError: "config-value", "tool-missing".
    """
    if target.startswith("s3://"):
        from packager.store import s3  # boto3 takes a third of a second

        return s3.connect(target)
    return Folder(target)
