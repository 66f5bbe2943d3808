"""squashfs's tables: numbers and names, cut into blocks of 8 KiB that are compressed.

A block of metadata: 2 bytes, the length and, as bit 15, that it is not compressed; then the block. Places in
a table are pairs, (where the block starts in the table, offset in the plain block).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from packager.filesystems.decompress import Decompress
from packager.filesystems.image import Image

BLOCK: Final = 8192  # bytes, plain
NONE: Final = 0xFFFF_FFFF_FFFF_FFFF  # of a table: there is none

_CACHED: Final = 2048  # blocks


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a table."""

    block: int  # bytes from the start of the table
    offset: int  # bytes in the plain block


class Table:
    """The bytes `[start, stop)` of an image, as blocks of metadata."""

    def __init__(self, image: Image, decompress: Decompress, start: int, stop: int, name: str) -> None:
        self._image = image
        self._decompress = decompress
        self._start, self._stop, self._name = start, stop, name
        self._block = lru_cache(_CACHED)(self._read_block)

    def take(self, place: Place, size: int) -> tuple[bytes, Place]:
        """`size` bytes from a place on, and the place behind them."""
        block, offset = place.block, place.offset
        parts = []
        while True:
            plain, following = self._block(block)
            if offset > len(plain):
                raise self._image.damaged(f"{self._name}: a place in it", expected=len(plain), found=offset)
            part = plain[offset : offset + size]
            parts.append(part)
            size -= len(part)
            offset += len(part)
            if size == 0:
                return b"".join(parts), Place(block, offset)
            block, offset = following, 0

    def unpack(self, form: struct.Struct, place: Place) -> tuple[tuple[int, ...], Place]:
        """The numbers of a structure, and the place behind it."""
        data, behind = self.take(place, form.size)
        return form.unpack(data), behind

    def _read_block(self, block: int) -> tuple[bytes, int]:
        """The plain bytes, and where the next block starts."""
        at = self._start + block
        if at + 2 > self._stop:
            raise self._image.damaged(f"{self._name} ends too early")
        return read_block(self._image, self._decompress, at, block, self._name)


def read_block(image: Image, decompress: Decompress, at: int, block: int, name: str) -> tuple[bytes, int]:
    """One block of metadata at `at`; its plain bytes, and `block` moved on behind it."""
    (head,) = struct.unpack("<H", image.take(at, 2, name))
    size = head & 0x7FFF
    if not 0 < size <= BLOCK:
        raise image.damaged(f"{name}: a block at {at}", expected=f"1 to {BLOCK} bytes", found=size)
    data = image.take(at + 2, size, name)
    return data if head & 0x8000 else decompress(data, BLOCK), block + 2 + size


def lookup(
    image: Image, decompress: Decompress, index: int, count: int, entry: int, name: str
) -> tuple[bytes, int]:
    """A table of `count` entries that is found by an index of its blocks' places, 8 bytes each.

    Returns:
        Its bytes, and where its first block starts.
    """
    blocks = -(-count * entry // BLOCK)
    places = struct.unpack(f"<{blocks}Q", image.take(index, 8 * blocks, name))
    data = b"".join(read_block(image, decompress, at, 0, name)[0] for at in places)
    if len(data) < count * entry:
        raise image.damaged(f"{name}", expected=f"{count * entry} bytes", found=len(data))
    return data, places[0] if places else index
