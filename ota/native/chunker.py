"""zchunk's automatic chunker, bit for bit, and a byte loop that Python is too slow for.

Cuts where libzck cuts by default: chunks of 8 KiB to 128 KiB. The rules stand in chunker.c; libzck is the
oracle in the tests. All calls release the GIL.
"""

from __future__ import annotations

from typing import Any, Final

from ota.native._chunker import ffi, lib

MIN_CHUNK: Final = 8192  # bytes; only the last chunk of a file may be shorter
MAX_CHUNK: Final = 131072  # bytes


class Chunker:
    """Cuts a stream. Where it cuts does not depend on the sizes that it is fed in."""

    def __init__(self) -> None:
        self._state: Any = ffi.new("struct chunker *")  # a C struct

    def feed(self, data: bytes | bytearray | memoryview) -> list[int]:
        """Take the next bytes; the lengths of the chunks that they completed."""
        view = ffi.from_buffer("uint8_t[]", data)
        lengths = ffi.new("uint32_t[]", (self._state.length + len(view)) // MIN_CHUNK)
        count = lib.chunker_feed(self._state, view, len(view), lengths)
        return list(lengths[0:count])

    def finish(self) -> int:
        """Length of the last chunk, 0 where nothing is left. The chunker is as new afterwards."""
        length: int = self._state.length
        self._state = ffi.new("struct chunker *")
        return length


def byte_sum(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Sum of the bytes modulo 2**32, from `start`: cpio's "crc" (070702)."""
    view = ffi.from_buffer("uint8_t[]", data)
    total: int = lib.byte_sum(view, len(view), start)
    return total
