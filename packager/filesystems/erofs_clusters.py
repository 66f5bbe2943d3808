"""Which clusters a compressed erofs file has (Linux, fs/erofs/erofs_fs.h and zmap.c).

The index has an entry for each logical cluster, 4 KiB as a rule: PLAIN and HEAD say where in it a new extent
starts, NONHEAD that the one before goes on. In front of it stands a header:

    reserved 2 | length of inline data 2 | advice 2 | algorithms 1 | log of clusters in blocks 1

A full index has 8 bytes an entry: type 2 | offset of the start 2 | block 4 (NONHEAD: distances 2 + 2).
A compact one has packs of 2 entries in 8 bytes, and of 16 in 32 bytes: bit fields of offset or distance
and of type, then 4 bytes: the block before the pack's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from packager.filesystems.image import Image

_HEADER: Final = struct.Struct("<2xHHBB")
_PLAIN, _HEAD1, _NONHEAD, _HEAD2 = range(4)  # types
_COMPACT_2B, _BIG, _INLINE, _INTERLACED, _FRAGMENT = 0x1, 0x2, 0x8, 0x10, 0x20  # advice
_BLOCKS: Final = 0x800  # of a NONHEAD's distance: it is the number of the extent's blocks


class Coding(Enum):
    """How bytes of a file are stored."""

    PLAIN = "plain"
    TURNED = "turned"  # as they are, but begun where they would stand in a block
    LZ4 = "lz4"
    ZEROS = "zeros"
    OTHER = "other"  # an algorithm that is not known here


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `[start, stop)` of a file, and the bytes `[at, end)` of the image that hold them."""

    start: int
    stop: int
    at: int
    end: int
    coding: Coding


_Entry = tuple[int, int, int]
"""Type; offset in the cluster, or distance; block, with what makes it one for a pack's entries."""


def read(image: Image, body: int, size: int, block_bits: int, is_compact: bool) -> tuple[list[Piece], int]:
    """The pieces of a file, and where its index ends.

    Args:
        body: bytes; where the inode and its attributes end.
        size: of the file, bytes.
        block_bits: log of the file system's block size.
    """
    at = body + 7 & ~7
    inline, advice, algorithms, bits = image.unpack(_HEADER, at, "header of a cluster index")
    if bits or advice & _FRAGMENT:
        raise image.unknown("fragments, or clusters of erofs that are not 1 block")
    count = -(-size // (1 << block_bits))
    if count * 2 > image.size:
        raise image.damaged("a compressed file's size", found=size)
    if is_compact:
        entries, end = _compact(image, at + 8, count, block_bits, advice)
    else:
        entries, end = _full(image, at + 16, count)
    coded, other = (Coding.OTHER if number else Coding.LZ4 for number in (algorithms & 15, algorithms >> 4))
    plain = Coding.TURNED if advice & _INTERLACED else Coding.PLAIN
    pieces = list(_pieces(image, entries, size, block_bits, {_PLAIN: plain, _HEAD1: coded, _HEAD2: other}))
    if advice & _INLINE and pieces:
        last = pieces.pop()
        pieces.append(Piece(last.start, last.stop, end, end + inline, last.coding))
    return pieces, end


def _pieces(
    image: Image, entries: list[_Entry], size: int, block_bits: int, codings: dict[int, Coding]
) -> Iterator[Piece]:
    heads = [number for number, entry in enumerate(entries) if entry[0] != _NONHEAD]
    starts = [(number << block_bits) + entries[number][1] for number in heads]
    if starts[:1] not in ([], [0]) or (size and not starts):
        raise image.damaged("a compressed file does not begin")
    for number, start, stop in zip(heads, starts, [*starts[1:], size], strict=True):
        kind, _, block = entries[number]
        if not start <= stop:
            raise image.damaged(f"extent of a compressed file from {start} to {stop}")
        following = entries[number + 1] if number + 1 < len(entries) else (_PLAIN, 0, 0)
        blocks = following[1] & ~_BLOCKS if following[0] == _NONHEAD and following[1] & _BLOCKS else 1
        if start < stop:  # the last entry may only tell where the file ends
            at = block << block_bits
            yield Piece(start, min(stop, size), at, at + (blocks << block_bits), codings[kind])


def _full(image: Image, at: int, count: int) -> tuple[list[_Entry], int]:
    data = image.take(at, 8 * count, "cluster index")
    entries = []
    for kind, offset, distance, high in struct.iter_unpack("<4H", data):
        kind &= 3
        entries.append((kind, distance if kind == _NONHEAD else offset, distance | high << 16))
    return entries, at + 8 * count


def _compact(image: Image, at: int, count: int, block_bits: int, advice: int) -> tuple[list[_Entry], int]:
    """Pairs up to a place that 32 divides, packs of 16 as long as such are full, pairs again."""
    if block_bits != 12 and advice & _COMPACT_2B:
        raise image.unknown("a compact cluster index of blocks other than 4 KiB")
    is_big = bool(advice & _BIG)
    first = min((-at % 32) // 4, count)
    packs = [2] * (-(-first // 2))
    if advice & _COMPACT_2B:
        packs += [16] * ((count - first) // 16)
    packs += [2] * (-(-(count - sum(packs)) // 2))
    entries: list[_Entry] = []
    for each in packs:
        size = 8 if each == 2 else 32
        entries += _pack(image.take(at, size, "cluster index"), each, max(block_bits, 12), is_big)
        at += size
    return entries[:count], at


def _pack(data: bytes, count: int, low_bits: int, is_big: bool) -> Iterator[_Entry]:
    bits = int.from_bytes(data[:-4], "little")
    width = (len(data) - 4) * 8 // count
    block = int.from_bytes(data[-4:], "little") + (not is_big)
    for number in range(count):
        value = bits >> number * width
        low, kind = value & (1 << low_bits) - 1, value >> low_bits & 3
        yield kind, low, block
        if kind != _NONHEAD:
            block += 1
        elif is_big and low & _BLOCKS:  # one block was counted with its head, where that stands in this pack
            block += (low & ~_BLOCKS) - (number > 0)
