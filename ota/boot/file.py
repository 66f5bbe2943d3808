"""A boot environment in a text file: `name=value` lines, replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ota.boot import lines
from ota.errors import DeviceError
from ota.io import durable

MAX_FILE: Final = 1 << 20  # bytes; U-Boot's largest environments have 128 KiB


class FileEnvironment:
    """A `Bootloader` whose variables lie in a file; an absent file is an empty environment."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        return self.read().get(name)

    def read(self) -> dict[str, str]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DeviceError("boot-environment", f"{self._path}: {error.strerror}") from error
        found = data[:MAX_FILE].decode(errors=lines.ANY_BYTES).split("\n")
        pairs = [line.partition("=") for line in found if line]
        if len(data) > MAX_FILE or not all(separator for _, separator, _ in pairs):
            raise DeviceError("boot-environment", f"{self._path}", expected="lines of name=value")
        return {name: value for name, _, value in pairs}

    def apply(self, changes: Mapping[str, str | None]) -> None:
        variables: dict[str, str | None] = {**self.read(), **changes}
        data = lines.render({name: value for name, value in sorted(variables.items()) if value})
        if len(data) > MAX_FILE:
            raise DeviceError(
                "boot-environment", f"{self._path} is full", expected=f"<= {MAX_FILE} bytes", found=len(data)
            )
        durable.replace(self._path, data)
        if self._from_medium() != data:
            raise DeviceError("boot-environment", f"{self._path} did not take what was written")

    def _from_medium(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                return file.read(MAX_FILE + 1)
        except OSError as error:
            raise DeviceError("boot-environment", f"{self._path}: {error.strerror}") from error
