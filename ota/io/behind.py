"""Write-behind: what is written piece by piece reaches the medium in large aligned blocks.

A block device's page cache costs much processor time, and reads every page that is written in part. So
whole pages go past it (O_DIRECT); only the ragged edges of a run of bytes go through it
(docs/decisions/0003-past-the-page-cache.md).
"""

from __future__ import annotations

import mmap
import os
from typing import Final

BLOCK: Final = 1 << 20  # bytes; what is collected
ALIGNMENT: Final = 4096  # bytes; enough for O_DIRECT on every block device (open(2), NOTES)


class WriteBehind:
    """Collects neighbouring bytes. What `put` was given is written at the latest by `flush`.

    Args:
        cached: a descriptor for writing any bytes.
        direct: a descriptor of the same file for writing aligned ones; it is closed with this object.
    """

    def __init__(self, cached: int, direct: int) -> None:
        self._cached = cached
        self._direct = direct
        self._memory = memoryview(mmap.mmap(-1, BLOCK))  # aligned, as O_DIRECT needs it
        self._base = 0  # bytes, aligned: where in the file the memory lies
        self._start = 0  # bytes, in the memory: `[start, stop)` is to be written
        self._stop = 0

    def put(self, offset: int, data: bytes) -> None:
        """Raises: OSError: these bytes, or some that were put before, cannot be written."""
        view = memoryview(data)
        while view:
            if offset != self._base + self._stop or self._stop == BLOCK:
                self.flush()
                self._base = offset - offset % ALIGNMENT
                self._start = self._stop = offset - self._base
            part = view[: BLOCK - self._stop]
            self._memory[self._stop : self._stop + len(part)] = part
            self._stop += len(part)
            offset += len(part)
            view = view[len(part) :]

    def flush(self) -> None:
        """Raises: OSError."""
        start, stop = self._start, self._stop
        self._start = self._stop  # also where writing fails: it is not tried for ever
        first, last = start + -start % ALIGNMENT, stop - stop % ALIGNMENT
        if first >= last:
            return self._write(self._cached, start, stop)
        self._write(self._cached, start, first)
        self._write(self._direct, first, last)
        self._write(self._cached, last, stop)

    def close(self) -> None:
        """Close `direct`; what was not flushed is gone."""
        os.close(self._direct)

    def _write(self, descriptor: int, start: int, stop: int) -> None:
        while start < stop:
            start += os.pwrite(descriptor, self._memory[start:stop], self._base + start)
