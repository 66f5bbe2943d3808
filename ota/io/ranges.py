"""Which bytes are still missing. Servers answer ranges split, merged, repeated and in any order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from ota.interfaces import Range


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

    def first(self, count: int) -> list[Range]:
        """The first `count` ranges that are still missing, or fewer."""
        return self._ranges[:count]

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
