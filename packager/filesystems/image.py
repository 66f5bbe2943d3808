"""The bytes of an image that nobody vouches for: every place that is read lies in the file, or it is damaged.

Names in file systems are bytes; where they are no UTF-8 the odd bytes are written as `\\xNN`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ota.errors import ConfigError

_PAGE: Final = 64 << 10  # bytes that are read at once, since what follows is asked for next
_STEP: Final = 4096


class Image:
    """An image file, open for reading. Offsets and sizes are bytes.

    It is read, not mapped: mapped pages count as memory of the process, and images are large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._page = (0, b"")  # where, and what is there
        try:
            with path.open("rb") as file:
                self.size = os.fstat(file.fileno()).st_size
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def take(self, offset: int, size: int, what: str) -> bytes:
        """These bytes; `what` names them in the error.

        Raises:
            ConfigError: "image-unreadable": they do not lie in the image.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise self.damaged(f"{what} at {offset}, {size} bytes", expected=f"within {self.size}")
        start, page = self._page
        if size <= _PAGE and not start <= offset <= offset + size <= start + len(page):
            start = offset - offset % _STEP
            page = self._read(start, _PAGE + _STEP)
            self._page = start, page
        return page[offset - start : offset - start + size] if size <= _PAGE else self._read(offset, size)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise ConfigError("file-missing", f"{self.path} cannot be read: {error.strerror}") from error

    def unpack(self, form: struct.Struct, offset: int, what: str) -> tuple[Any, ...]:
        """The values of a structure; Any: they are as `form` says."""
        return form.unpack(self.take(offset, form.size, what))

    def damaged(self, what: str, *, expected: object = None, found: object = None) -> ConfigError:
        """The error for what cannot be in a sound file system."""
        return ConfigError("image-unreadable", f"{self.path.name}: {what}", expected=expected, found=found)

    def unknown(self, what: str) -> ConfigError:
        """The error for what a sound file system may hold, but nobody here can read."""
        return ConfigError("filesystem-unknown", f"{self.path.name}: {what}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What decompressors and structures say of odd bytes becomes "image-unreadable"."""
        try:
            yield
        except (struct.error, IndexError, ValueError, OverflowError, EOFError) as error:
            raise self.damaged(f"the file system contradicts itself ({error})") from error


def text(name: bytes) -> str:
    """A name as text."""
    return name.decode("utf-8", "backslashreplace")
