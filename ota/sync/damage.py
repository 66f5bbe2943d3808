"""Say where a slot's damaged chunks are damaged, and what it looks like: a report for people, never a proof.

Where a slot holds the right bytes (its manifest says so, sha256 proves it), the report is exact to the byte;
elsewhere a chunk is reported as a whole. Nothing is fetched for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Final

from ota.errors import DeviceError
from ota.formats.zchunk import Chunk, Header
from ota.interfaces import BlockTarget, Range

MAX_LISTED: Final = 1000  # entries; a slot that is wrong everywhere must not fill the memory
MAX_PRINTED: Final = 20  # lines
_NEAR: Final = 64  # bytes; what differs closer together than this is one damage

# Runs of bytes that are not zero, with fewer than _NEAR zeros between; possessive: it never looks back.
_RUN: Final = re.compile(rb"[^\0]++(?:\0{1,%d}+[^\0]++)*+" % (_NEAR - 1))


class Kind(StrEnum):
    """What a damage looks like."""

    BIT_FLIP = "bit flip"  # one bit: a worn or badly read medium
    ZEROED = "zeroed"  # zeros where there should be something else: a discard, a lost write
    SUPERBLOCK = "superblock"  # only a file system's superblock: it was mounted for writing
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True, slots=True)
class Damage:
    """Neighbouring bytes that are not what the manifest says."""

    offset: int  # bytes, in the slot
    length: int  # bytes
    kind: Kind

    @property
    def stop(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Report:
    """All damage of a slot."""

    total: int
    listed: tuple[Damage, ...]  # the first MAX_LISTED

    def to_json(self) -> dict[str, object]:
        entries = [{"offset": one.offset, "length": one.length, "kind": one.kind} for one in self.listed]
        return {"damage_total": self.total, "damage": entries}

    def to_text(self) -> dict[str, object]:
        lines = [f"at {one.offset}: {one.length} bytes, {one.kind}" for one in self.listed[:MAX_PRINTED]]
        if self.total > len(lines):
            lines.append(f"... and {self.total - len(lines)} more")
        return {"damage": lines}


def report(
    header: Header, bad: Sequence[int], slot: BlockTarget, others: Sequence[tuple[Header, BlockTarget]]
) -> Report:
    """Look at the damaged chunks of a slot again.

    Args:
        header: what the slot should hold.
        bad: the damaged chunks, ascending.
        others: the other slots whose manifests are known.

    Raises:
        DeviceError: "slot-unreadable": the damaged slot; the others are a help, never a need.
    """
    return collect(_join(_find(header, bad, slot, others)))


def collect(damages: Iterable[Damage]) -> Report:
    """Count them all, keep the first."""
    total = 0
    listed: list[Damage] = []
    for damage in damages:
        total += 1
        if total <= MAX_LISTED:
            listed.append(damage)
    return Report(total, tuple(listed))


def compare(offset: int, found: bytes, right: bytes) -> Iterator[Damage]:
    """Where the bytes found at `offset` of a slot differ from the right ones, which are as many."""
    differing = int.from_bytes(found, "little") ^ int.from_bytes(right, "little")
    mask = differing.to_bytes(len(right), "little")
    area = _superblock(offset, right)
    for start, stop in _join_inside(area, offset, (run.span() for run in _RUN.finditer(mask))):
        kind = _kind(mask[start:stop], found[start:stop], _covers(area, offset + start, offset + stop))
        yield Damage(offset + start, stop - start, kind)


def guess(offset: int, found: bytes) -> Damage:
    """What is wrong with a chunk of which the right bytes are not at hand."""
    if not any(found):
        kind = Kind.ZEROED
    elif _has(_EXT, offset, found):
        kind = Kind.SUPERBLOCK  # what a mount writes, and the likeliest change to an image's start
    else:
        kind = Kind.OVERWRITTEN
    return Damage(offset, len(found), kind)


def _kind(mask: bytes, found: bytes, in_superblock: bool) -> Kind:
    if int.from_bytes(mask, "little").bit_count() == 1:
        return Kind.BIT_FLIP
    if not any(found):
        return Kind.ZEROED
    return Kind.SUPERBLOCK if in_superblock else Kind.OVERWRITTEN


@dataclass(frozen=True, slots=True)
class _Superblock:
    area: Range
    magic: bytes
    place: int  # bytes; where the magic stands


_EXT: Final = _Superblock(Range(1024, 2048), b"\x53\xef", 1080)  # linux fs/ext4/ext4.h
_SUPERBLOCKS: Final = (
    _EXT,
    _Superblock(Range(0, 96), b"hsqs", 0),  # linux fs/squashfs/squashfs_fs.h
    _Superblock(Range(1024, 1152), b"\xe2\xe1\xf5\xe0", 1024),  # linux fs/erofs/erofs_fs.h
)


def _has(superblock: _Superblock, offset: int, data: bytes) -> bool:
    return offset <= superblock.place and data.startswith(superblock.magic, superblock.place - offset)


def _superblock(offset: int, data: bytes) -> Range | None:
    return next((one.area for one in _SUPERBLOCKS if _has(one, offset, data)), None)


def _covers(area: Range | None, start: int, stop: int) -> bool:
    return area is not None and area.start <= start and stop <= area.stop


def _join_inside(
    area: Range | None, offset: int, runs: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Make one run of those inside a superblock: a mount changes fields all over it, and not one bit."""
    for inside, group in groupby(runs, lambda run: _covers(area, offset + run[0], offset + run[1])):
        if inside:
            together = list(group)
            yield together[0][0], together[-1][1]
        else:
            yield from group


def _join(damages: Iterable[Damage]) -> Iterator[Damage]:
    """Make one of what goes on behind a chunk's end."""
    last: Damage | None = None
    for damage in damages:
        if last and last.kind is damage.kind is not Kind.BIT_FLIP and damage.offset - last.stop < _NEAR:
            last = replace(last, length=damage.stop - last.offset)
            continue
        if last:
            yield last
        last = damage
    if last:
        yield last


def _find(
    header: Header, bad: Sequence[int], slot: BlockTarget, others: Sequence[tuple[Header, BlockTarget]]
) -> Iterator[Damage]:
    places = _places(header, bad, slot, others)
    for chunk in map(header.chunk, bad):
        found = _medium(slot, chunk)
        right = _right(chunk, places)
        if right is None:
            yield guess(chunk.offset, found)
        else:
            yield from compare(chunk.offset, found, right)


_Places = list[tuple[BlockTarget, dict[bytes, int]]]  # a slot; digest -> bytes, where in it


def _places(
    header: Header, bad: Sequence[int], slot: BlockTarget, others: Sequence[tuple[Header, BlockTarget]]
) -> _Places:
    """Where each slot should have the bytes of damaged chunks; the damaged slot may have them once more."""
    wanted = {header.digest(number) for number in bad}
    damaged = set(bad)
    sound = (number for number in range(len(header)) if number not in damaged)
    places = [(other, _offsets(manifest, range(len(manifest)), wanted)) for manifest, other in others]
    return [*places, (slot, _offsets(header, sound, wanted))]


def _offsets(header: Header, numbers: Iterable[int], wanted: set[bytes]) -> dict[bytes, int]:
    offsets: dict[bytes, int] = {}
    for number in numbers:
        if (digest := header.digest(number)) in wanted:
            offsets.setdefault(digest, header.offset(number))
    return offsets


def _right(chunk: Chunk, places: _Places) -> bytes | None:
    """The bytes of a chunk from the first place that really has them."""
    for slot, offsets in places:
        if (offset := offsets.get(chunk.digest)) is not None:
            try:
                data = slot.read_at(offset, chunk.length)
            except DeviceError:
                continue
            if hashlib.sha256(data).digest() == chunk.digest:
                return data
    return None


def _medium(slot: BlockTarget, chunk: Chunk) -> bytes:
    """Scanned, as the damage was found: the page cache may still know better than the medium."""
    return b"".join(map(bytes, slot.scan(chunk.offset, chunk.offset + chunk.length)))
