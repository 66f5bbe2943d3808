"""Readers for parser tests: the same bytes whole, one at a time, or in the pieces that a test chooses."""

import io
from collections.abc import Callable

from ota.interfaces import Reader


class Trickle:
    """Gives at most `step` bytes at a time, as a slow pipe does, and counts them."""

    def __init__(self, data: bytes, step: int = 1) -> None:
        self._stream = io.BytesIO(data)
        self._step = step
        self.given = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._step))
        self.given += len(data)
        return data


WAYS: dict[str, Callable[[bytes], Reader]] = {
    "whole": io.BytesIO,
    "byte by byte": Trickle,
    "in odd pieces": lambda data: Trickle(data, 7),
}


def drain(reader: Reader, size: int = 1 << 16) -> bytes:
    """Everything that is left."""
    data = b""
    while block := reader.read(size):
        data += block
    return data
