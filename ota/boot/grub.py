"""GRUB's environment: a file of 1024 bytes that `load_env` reads and `save_env` writes in place.

    # GRUB Environment Block\\n     the first line, always
    name=value\\n                   in a value, a backslash stands before each backslash and newline
    # anything\\n                   a comment
    ####...                        up to the end, at least one

Format: GRUB's grub-core/lib/envblk.c. GRUB knows which blocks the file lies in, so it is never replaced;
there is neither a second copy nor a checksum, so only a write of a single sector is atomic. Therefore all
variables lie in the first sector, and only that is written. (Where the file system writes whole blocks, the
other sectors of the block are written as they were.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from ota.boot.lines import ANY_BYTES
from ota.boot.table import TRIES
from ota.errors import DeviceError

SIZE: Final = 1024  # bytes
SECTOR: Final = 512  # bytes; no disk writes less
HEADER: Final = b"# GRUB Environment Block\n"

_LINE: Final = re.compile(rb"(?:[^\\\n\0]|\\[^\0])+\n")
_NAME: Final = re.compile(rb"[^#=\\\n\0][^=\\\n\0]*")


class GrubEnvironment:
    """A `Bootloader` whose variables lie in a grubenv, which must be there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        return self.read().get(name)

    def read(self) -> dict[str, str]:
        pairs = map(_split, self._lines(self._load()))
        return {_text(name): _text(value) for name, value in pairs if name}

    def apply(self, changes: Mapping[str, str | None]) -> None:
        wanted = self._changed(self._load(), changes)
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.pwrite(file, wanted[:SECTOR], 0)
                # ext4 without a journal lets the disk flush its cache only where the inode has changed, too
                # (Linux 6.1: ext4_fsync_nojournal); a second write within a tick does not do that by itself.
                os.utime(file)
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)  # what is read now comes from the medium
            finally:
                os.close(file)
        except OSError as error:
            raise DeviceError("boot-environment", f"{self._path}: {error.strerror}") from error
        if self._load() != wanted:
            raise DeviceError("boot-environment", f"{self._path} did not take what was written")

    def _load(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(SIZE + 1)
        except FileNotFoundError as error:
            raise DeviceError(
                "boot-environment",
                f"{self._path} is not there",
                hint=f"grub-editenv {self._path} create",
            ) from error
        except OSError as error:
            raise DeviceError("boot-environment", f"{self._path}: {error.strerror}") from error

    def _changed(self, data: bytes, changes: Mapping[str, str | None]) -> bytes:
        """The block with these variables changed; its second sector stays as it is."""
        changed = {_bytes(name) for name in changes}
        lines = [line for line in self._lines(data) if _split(line)[0] not in changed]
        lines += [self._line(name, value) for name, value in changes.items() if value]
        used = HEADER + b"".join(lines)
        names = {name for name, _ in map(_split, lines)}
        later = 0 if TRIES.encode() in names else len(f"{TRIES}=0\n")  # which GRUB adds behind the others
        if len(used) + later > SECTOR or data[SECTOR:].strip(b"#"):
            raise DeviceError(
                "boot-environment",
                f"{self._path}: not all variables fit into the first sector",
                expected=f"<= {SECTOR - later} bytes",
                found=max(len(used), len(data.rstrip(b"#"))),
                hint="remove some: grub-editenv FILE unset NAME",
            )
        return used.ljust(SIZE, b"#")

    def _line(self, name: str, value: str) -> bytes:
        line = _bytes(name) + b"=" + re.sub(rb"[\\\n]", rb"\\\g<0>", _bytes(value)) + b"\n"
        if not _NAME.fullmatch(_bytes(name)) or not _LINE.fullmatch(line):
            raise DeviceError(
                "boot-environment",
                f"GRUB cannot hold the variable {name!r}",
                expected="a name without '#' in front, '=', backslash and newline; no zero bytes",
            )
        return line

    def _lines(self, data: bytes) -> list[bytes]:
        """What stands between the first line and the padding; comments, too."""
        if len(data) != SIZE:
            self._refuse(f"{SIZE} bytes", f"{len(data)}" if len(data) < SIZE else "more")
        if not data.startswith(HEADER):
            self._refuse(repr(HEADER), repr(data[: len(HEADER)]))
        if not data.endswith(b"#"):
            self._refuse("'#' up to its end", repr(data[-8:]))
        body = data[len(HEADER) :].rstrip(b"#")
        lines = _LINE.findall(body)
        wrong = next((line for line in lines if not line.startswith(b"#") and not _split(line)[0]), b"")
        if wrong or b"".join(lines) != body:
            self._refuse("lines of name=value", repr(wrong[:40] or body[:40]))
        return lines

    def _refuse(self, expected: str, found: str) -> NoReturn:
        raise DeviceError(
            "boot-environment",
            f"{self._path} is no environment block",
            expected=expected,
            found=found,
            hint=f"grub-editenv {self._path} create makes an empty one",
        )


def _split(line: bytes) -> tuple[bytes, bytes]:
    """A line's name and value; both are empty for a comment and for what is neither."""
    name, separator, value = line[:-1].partition(b"=")
    if not separator or line.startswith(b"#"):
        return b"", b""
    return name, re.sub(rb"\\(.)", rb"\1", value, flags=re.DOTALL)


def _bytes(text: str) -> bytes:
    return text.encode(errors=ANY_BYTES)


def _text(data: bytes) -> str:
    return data.decode(errors=ANY_BYTES)
