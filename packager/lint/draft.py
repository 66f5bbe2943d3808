"""An image whose bytes can be changed, in memory only: what it would be if something were mended.

What was changed is held in blocks; all else is read from the file when it is asked for, so that memory does
not grow with the image.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self, overload

from ota.errors import ConfigError
from packager.filesystems.image import Image

_BLOCK: Final = 4096  # bytes


class Draft:
    """Reads and changes as of a bytearray; its length stays.

    Raises:
        ConfigError: "file-missing", or "release-content" where there is nothing in it.
    """

    def __init__(self, path: Path) -> None:
        self._image = Image(path)
        if self._image.size == 0:
            raise ConfigError("release-content", f"{path} is empty")
        self._changed: dict[int, bytearray] = {}  # block number -> its bytes

    def __enter__(self) -> Self:
        self._image.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image.__exit__(kind, error, trace)

    def __len__(self) -> int:
        return self._image.size

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, int):
            return self[place : place + 1][0]
        start, stop, _ = place.indices(len(self))
        if stop <= start:
            return b""
        data = self._image.take(start, stop - start, "bytes")
        changed = self._within(start, stop)
        if not changed:
            return data
        found = bytearray(data)
        for number in changed:
            at = number * _BLOCK
            low, high = max(start, at), min(stop, at + _BLOCK)
            found[low - start : high - start] = self._changed[number][low - at : high - at]
        return bytes(found)

    def __setitem__(self, place: slice, data: bytes) -> None:
        start, stop, _ = place.indices(len(self))
        assert stop - start == len(data), (place, len(data))
        for number in range(start // _BLOCK, -(-stop // _BLOCK)):
            at = number * _BLOCK
            if number not in self._changed:
                size = min(_BLOCK, len(self) - at)
                self._changed[number] = bytearray(self._image.take(at, size, "a block"))
            low, high = max(start, at), min(stop, at + _BLOCK)
            self._changed[number][low - at : high - at] = data[low - start : high - start]

    def _within(self, start: int, stop: int) -> list[int]:
        """The changed blocks that these bytes touch."""
        numbers = range(start // _BLOCK, -(-stop // _BLOCK))
        if len(numbers) > len(self._changed):
            return [number for number in self._changed if number in numbers]
        return [number for number in numbers if number in self._changed]
