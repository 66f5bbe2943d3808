"""The .swu container: an SVR4 cpio archive, "newc" and "crc", read forward only.

    offset  size  field (each 8 hex digits, either case)
    0       6     magic: 070701 newc (no checksum), 070702 crc; may differ from member to member
    6       48    inode, mode, uid, gid, nlink, mtime: ignored, as SWUpdate does
    54      8     size of the data
    62      32    device numbers: ignored
    94      8     size of the name, with its NUL
    102     8     checksum: sum of all data bytes modulo 2**32; without meaning in newc
    110           name, zeros up to a multiple of 4, data, zeros up to a multiple of 4

The archive ends with a member named `TRAILER!!!`. Format: cpio(5), "New ASCII Format" and "New CRC
Format"; SWUpdate's swupdate.rst, "Image File Format". As tolerant as SWUpdate, except for names: they are
held to stricter rules, because a name becomes a path somewhere.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from ota.errors import ConfigError, UpdateError
from ota.interfaces import Patient, Reader
from ota.native.chunker import byte_sum

NEWC: Final = b"070701"
CRC: Final = b"070702"
TRAILER: Final = "TRAILER!!!"
MAX_NAME: Final = 255  # bytes with the NUL; SWUpdate's MAX_IMAGE_FNAME is 256 and must stay larger
MAX_SIZE: Final = 0xFFFF_FFFF  # bytes; the field has 8 hex digits

_HEADER: Final = 110  # bytes
_ALIGNMENT: Final = 4
_BLOCK: Final = 512  # GNU cpio pads archives to it
_COPY: Final = 1 << 18  # bytes moved at once
# After the trailer: enough for any padding that a packer or a block device adds. A sender is not cut
# off while it still writes it, and nobody can keep the agent reading, or waiting, for ever.
_MAX_PADDING: Final = 1 << 16
_PADDING_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive."""

    name: str
    size: int  # bytes
    offset: int  # bytes, of its data in the archive
    checksum: int | None  # None in newc


def members(stream: Reader) -> Iterator[tuple[Member, Reader]]:
    """Every member with a reader over exactly its data, in the archive's order.

    What the caller leaves unread is drained when the iterator advances; every checksum is checked, read
    or drained, before the member's last bytes are handed out.

    Raises:
        UpdateError: archive-format, archive-truncated, archive-checksum or member-name.
    """
    offset = 0
    while (member := _header(stream, offset)).name != TRAILER:
        payload = _Payload(stream, member)
        yield member, payload
        while payload.read(_COPY):
            pass
        padding = -member.size % _ALIGNMENT
        _exactly(stream, padding, f"after member {member.name!r}")
        offset = member.offset + member.size + padding
    _drain(stream)


def write(output: BinaryIO, files: Sequence[tuple[str, Path | bytes]]) -> None:
    """Write a reproducible crc archive: no times, owners or inodes of the build host, padded to 512.

    Raises:
        ConfigError: release-content for a name or size that the format or SWUpdate cannot hold, or a
            file that changes meanwhile; file-missing.
    """
    seen: set[str] = set()
    for name, _ in files:
        raw = name.encode(errors="surrogatepass")
        fault = _name_fault(raw)
        if len(raw) >= MAX_NAME:
            fault = f"longer than {MAX_NAME - 1} bytes"
        if name in seen:
            fault = "a second member of that name"
        if name == TRAILER:
            fault = "the end mark's own name"
        if fault:
            raise ConfigError("release-content", f"member {name!r}: {fault}")
        seen.add(name)
    written = 0
    for inode, (name, content) in enumerate(files, start=1):
        written += _write_member(output, inode, name, content)
    written += output.write(_encode(0, 0, TRAILER, 0, 0))
    output.write(bytes(-written % _BLOCK))


class _Payload:
    """A reader over one member's data that proves its checksum on the way."""

    __slots__ = ("_left", "_member", "_stream", "_sum")

    def __init__(self, stream: Reader, member: Member) -> None:
        self._stream = stream
        self._member = member
        self._left = member.size
        self._sum = 0
        self._check()

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self._left)
        if wanted <= 0:
            return b""
        data = self._stream.read(wanted)
        if not data:
            _truncated(f"in the data of member {self._member.name!r}")
        self._left -= len(data)
        if self._member.checksum is not None:
            self._sum = byte_sum(data, self._sum)
        self._check()
        return data

    def _check(self) -> None:
        expected = self._member.checksum
        if self._left == 0 and expected is not None and expected != self._sum:
            raise UpdateError(
                "archive-checksum",
                f"member {self._member.name!r}: the cpio checksum is wrong",
                expected=f"{expected:08x}",
                found=f"{self._sum:08x}",
            )


def _header(stream: Reader, offset: int) -> Member:
    """Read the header that stands at `offset`, up to the member's first byte of data."""
    header = _exactly(stream, _HEADER, f"in a header at byte {offset}")
    if header[:6] not in (NEWC, CRC):
        raise UpdateError(
            "archive-format",
            f"no cpio member at byte {offset}",
            expected="magic 070701 or 070702",
            found=repr(header[:6]),
        )
    size, namesize = _number(header, 54, offset), _number(header, 94, offset)
    if not 0 < namesize <= MAX_NAME:
        raise UpdateError(
            "member-name",
            f"the length of a member's name at byte {offset}",
            expected=f"1 to {MAX_NAME} bytes",
            found=namesize,
        )
    padded = namesize + -(_HEADER + namesize) % _ALIGNMENT
    # SWUpdate takes a name without its NUL as well.
    name = _exactly(stream, padded, f"in a name at byte {offset}")[:namesize].removesuffix(b"\0")
    if fault := _name_fault(name):
        raise UpdateError("member-name", f"member {name!r} at byte {offset}: {fault}")
    checksum = _number(header, 102, offset) if header[:6] == CRC else None
    return Member(name.decode(), size, offset + _HEADER + padded, checksum)


def _number(header: bytes, at: int, offset: int) -> int:
    field = header[at : at + 8]
    if not re.fullmatch(rb"[0-9A-Fa-f]{8}", field):
        raise UpdateError(
            "archive-format",
            f"a field of the cpio header at byte {offset}",
            expected="8 hex digits",
            found=repr(field),
        )
    return int(field, 16)


def _name_fault(name: bytes) -> str | None:
    """Why `name` may not be a member's; None if it may."""
    if not name or b"\0" in name:
        return "an empty name, or a NUL in it"
    if name.startswith(b"/") or b".." in name.split(b"/"):
        return "an absolute path, or one that climbs with '..'"
    try:
        name.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return None


def _exactly(stream: Reader, size: int, where: str) -> bytes:
    """Read `size` bytes: at most a header, a name or padding."""
    data = b""
    while len(data) < size:
        block = stream.read(size - len(data))
        if not block:
            _truncated(where)
        data += block
    return data


def _truncated(where: str) -> NoReturn:
    raise UpdateError("archive-truncated", f"the archive ends {where}, before its trailer")


def _drain(stream: Reader) -> None:
    """Read what follows the trailer. A pipe or a connection may stay open; it is not waited for."""
    left, deadline = _MAX_PADDING, time.monotonic() + _PADDING_S
    while left > 0:
        if isinstance(stream, Patient) and not stream.is_ready(deadline - time.monotonic()):
            return
        block = stream.read(left)
        if not block:
            return
        left -= len(block)


def _write_member(output: BinaryIO, inode: int, name: str, content: Path | bytes) -> int:
    """Write one member; return how many bytes that took."""
    size, checksum = _measure(name, content)
    header = _encode(inode, 0o100644, name, size, checksum)
    output.write(header)
    copied, copied_sum = 0, 0
    for block in _blocks(content):
        copied, copied_sum = copied + len(block), byte_sum(block, copied_sum)
        output.write(block)
    if (copied, copied_sum) != (size, checksum):
        raise ConfigError("release-content", f"member {name!r} changed while it was packed")
    padding = bytes(-size % _ALIGNMENT)
    output.write(padding)
    return len(header) + size + len(padding)


def _measure(name: str, content: Path | bytes) -> tuple[int, int]:
    """Size and checksum. A pass of its own, because both stand before the data."""
    size = len(content) if isinstance(content, bytes) else _stat_size(content)
    if size > MAX_SIZE:
        raise ConfigError(
            "release-content",
            f"member {name!r} is too large for a cpio archive",
            expected=f"at most {MAX_SIZE} bytes",
            found=size,
            hint="compress it, or deliver it as a delta",
        )
    checksum = 0
    for block in _blocks(content):
        checksum = byte_sum(block, checksum)
    return size, checksum


def _stat_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error


def _blocks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    try:
        with content.open("rb") as file:
            while block := file.read(_COPY):
                yield block
    except OSError as error:
        raise ConfigError("file-missing", f"{content} cannot be read: {error.strerror}") from error


def _encode(inode: int, mode: int, name: str, size: int, checksum: int) -> bytes:
    raw = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(raw), checksum)
    header = CRC + b"".join(b"%08x" % field for field in fields) + raw
    return header + bytes(-len(header) % _ALIGNMENT)
