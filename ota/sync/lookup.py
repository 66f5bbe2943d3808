"""Finds chunks by their digest in some 12 bytes a chunk, where a dict would take ten times that."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

_KEY: Final = 8  # bytes of a digest that chunks are sorted by


class Lookup:
    """Over the chunks `0 .. count - 1`.

    Args:
        digest: of a chunk by its number.
    """

    def __init__(self, count: int, digest: Callable[[int], bytes]) -> None:
        def key(number: int) -> int:
            return int.from_bytes(digest(number)[:_KEY])

        self._digest = digest
        self._numbers = array("I", sorted(range(count), key=key))
        self._keys = array("Q", map(key, self._numbers))

    def find(self, digest: bytes) -> Iterator[int]:
        """The numbers of all chunks with this digest, ascending."""
        key = int.from_bytes(digest[:_KEY])
        place = bisect_left(self._keys, key)
        while place < len(self._keys) and self._keys[place] == key:
            if self._digest(self._numbers[place]) == digest:
                yield self._numbers[place]
            place += 1
