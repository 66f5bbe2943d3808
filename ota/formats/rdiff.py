"""The rdiff delta as text: what it would make is known before a byte is written.

    "rs\\x026"        magic
    0x00             end
    0x01 to 0x40     so many literal bytes follow
    0x41 to 0x44     a length of 1, 2, 4 or 8 bytes, then as many literal bytes
    0x45 to 0x54     copy: position of 1, 2, 4 or 8 bytes and, varying faster, length of as many

Numbers are big-endian. Format: librsync doc/formats.md; its prototab.c. librsync finds such damage too, but
when it comes to it, and half of the result is written by then.
"""

from __future__ import annotations

from typing import Final

from ota.errors import UpdateError
from ota.interfaces import Reader

MAGIC: Final = b"rs\x026"
_BUFFER: Final = 256 * 1024  # bytes read at a time
_WIDTHS: Final = (1, 2, 4, 8)
_LONGEST: Final = 0x40  # of literals that have no length of their own
_LITERAL: Final = 0x41
_COPY: Final = 0x45
_RESERVED: Final = 0x55


def result_size(delta: Reader, base_size: int, limit: int) -> int:
    """The length of what a delta makes; the delta is read to its end, unless the limit is passed before.

    Args:
        base_size: bytes of the base that may be read.
        limit: bytes; a delta whose result is longer is not read on.

    Raises:
        UpdateError: "delta-format"; "delta-base": it reads past the end of the base.
    """
    cursor = _Cursor(delta)
    if cursor.take(len(MAGIC)) != MAGIC:
        raise UpdateError("delta-format", "not an rdiff delta", expected=MAGIC)
    size = 0
    while size <= limit and (command := cursor.number(1)):
        if command >= _RESERVED:
            raise UpdateError("delta-format", "an rdiff command that does not exist", found=hex(command))
        if command >= _COPY:
            position = cursor.number(_WIDTHS[(command - _COPY) // 4])
            length = cursor.number(_WIDTHS[(command - _COPY) % 4])
            if position + length > base_size:
                raise UpdateError(
                    "delta-base",
                    "the rdiff delta reads past the end of its base",
                    expected=f"<= {base_size} bytes",
                    found=position + length,
                )
        else:
            length = command if command <= _LONGEST else cursor.number(_WIDTHS[command - _LITERAL])
            cursor.skip(length)
        if length == 0:
            raise UpdateError("delta-format", "an rdiff command for no bytes")
        size += length
    if size <= limit and cursor.more():
        raise UpdateError("delta-format", "rdiff data goes on after its end")
    return size


class _Cursor:
    """Takes a delta apart from the front, and holds no more than a buffer of it."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._data = b""
        self._position = 0

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def take(self, size: int) -> bytes:
        """So many bytes; `size` is small."""
        while len(self._data) - self._position < size:
            if not self.more(size):
                raise _cut()
        start, self._position = self._position, self._position + size
        return self._data[start : self._position]

    def skip(self, size: int) -> None:
        while size > len(self._data) - self._position:
            size -= len(self._data) - self._position
            self._position = len(self._data)
            if not self.more():
                raise _cut()
        self._position += size

    def more(self, wanted: int = 1) -> bool:
        """Whether something is left; reads on where fewer than `wanted` bytes are at hand."""
        if len(self._data) - self._position < wanted:
            piece = self._source.read(_BUFFER)
            self._data, self._position = self._data[self._position :] + piece, 0
            return bool(piece)
        return True


def _cut() -> UpdateError:
    return UpdateError("delta-format", "the rdiff delta ends too early")
