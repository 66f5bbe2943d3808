"""Sets of byte ranges: joined, divided among requests, and taken away from as bytes arrive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from ota.interfaces import Range


def merge(ranges: Iterable[Range], hole: int) -> list[Range]:
    """Join ranges that are at most `hole` bytes apart.

    Args:
        ranges: ascending and disjoint.
    """
    merged: list[Range] = []
    for wanted in ranges:
        if merged and wanted.start - merged[-1].stop <= hole:
            merged[-1] = Range(merged[-1].start, wanted.stop)
        else:
            merged.append(wanted)
    return merged


def batches(ranges: Iterable[Range], count: int, size: int) -> Iterator[list[Range]]:
    """Divide ranges among requests of at most `count` ranges and `size` bytes; a long one is cut."""
    batch: list[Range] = []
    room = size
    for wanted in ranges:
        start = wanted.start
        while start < wanted.stop:
            if len(batch) == count or not room:
                yield batch
                batch, room = [], size
            stop = min(wanted.stop, start + room)
            batch.append(Range(start, stop))
            room -= stop - start
            start = stop
    if batch:
        yield batch


class Missing:
    """A set of byte ranges that shrinks as bytes arrive.

    Args:
        ranges: ascending and disjoint.
    """

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._ranges = list(ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    @property
    def size(self) -> int:
        """How many bytes are missing."""
        return sum(map(len, self._ranges))

    @property
    def ranges(self) -> list[Range]:
        """All that is missing."""
        return list(self._ranges)

    def within(self, start: int, stop: int) -> list[Range]:
        """Those between two places in the file."""
        first = max(0, bisect_right(self._ranges, start, key=lambda wanted: wanted.start) - 1)
        found = []
        for wanted in self._ranges[first:]:
            if wanted.start >= stop:
                break
            if start < wanted.stop:
                found.append(Range(max(start, wanted.start), min(stop, wanted.stop)))
        return found

    def take(self, offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Of the bytes at `offset`, those that were missing; they are missing no longer."""
        stop = offset + len(data)
        index = max(0, bisect_right(self._ranges, offset, key=lambda wanted: wanted.start) - 1)
        while index < len(self._ranges) and self._ranges[index].start < stop:
            wanted = self._ranges[index]
            start, end = max(wanted.start, offset), min(wanted.stop, stop)
            if start >= end:
                index += 1
                continue
            rest = [Range(*pair) for pair in ((wanted.start, start), (end, wanted.stop)) if pair[0] < pair[1]]
            self._ranges[index : index + 1] = rest
            index += len(rest)
            yield start, data[start - offset : end - offset]
