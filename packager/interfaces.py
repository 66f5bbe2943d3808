"""What a builder is, and the values that go into and come out of one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ota.board import Slot
from ota.formats.selection import Compression, Entry
from ota.interfaces import Reader
from ota.settings import Table
from ota.trust.decryption import Key

Properties = Mapping[str, str | list[str]]
Figures = Mapping[str, int | str]
"""What was measured of one artifact; sizes are bytes."""


@dataclass(frozen=True, slots=True)
class Image:
    """What becomes the payload of one entry of the release file."""

    name: str
    file: Path
    type: str  # the entry's type in the sw-description
    options: Any  # Any: only the builder that read them looks inside


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where builders write: folders that become the output only if the whole build succeeds."""

    members: Path  # of the archive
    publish: Path  # for the server
    version: str  # of the release

    def zck(self, image: Image) -> Path:
        """Where an image's .zck lies. The version is in the name: a published file never changes."""
        return self.publish / f"{image.name}-{self.version}.zck"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a builder made of an image."""

    member: str  # the name in the archive: the entry's `filename`
    file: Path  # its content
    properties: Callable[[Slot], Properties]  # of the entry, in the mode where that slot is the one that runs
    compressed: Compression | None = None
    base: Path | None = None  # the earlier image that it needs on the device
    ivt: str | None = None  # hex; it is encrypted


@dataclass(frozen=True, slots=True)
class Companions:
    """What a package needs beside itself; what is not at hand is not checked."""

    publish: Path | None = None  # the folder that is to be served
    bases: tuple[Path, ...] = ()  # earlier images
    key: Key | None = None  # of encrypted artifacts


class Builder(Protocol):
    """A builder is a module with these three functions."""

    def read(self, table: Table, /) -> object:
        """Its own keys of an entry, taken from the table; the result becomes `Image.options`."""

    def build(self, image: Image, workspace: Workspace, /) -> Artifact:
        """Write the artifact, and what is to be published."""

    def check(self, entry: Entry, payload: Reader, companions: Companions, /) -> Figures:
        """Prove a finished artifact, and measure it.

        Args:
            entry: of the parsed sw-description; the archive's member has its sha256.
            payload: the artifact, decrypted and decompressed.
            companions: further files to prove it with.
        """


class Measured:
    """A reader that counts and hashes what goes by."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """In hexadecimal, of what was read so far."""
        return self._hash.hexdigest()

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data
