"""Write-behind: what is written piece by piece reaches the medium in large aligned blocks, where it is new.

A block device's page cache costs much processor time, and reads every page that is written in part. So
whole pages go past it (O_DIRECT); only the ragged edges of a run of bytes go through it. A thread writes
one run while the caller collects the next (docs/decisions/0003-past-the-page-cache.md).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Final

BLOCK: Final = 1 << 20  # bytes; what is collected
ALIGNMENT: Final = 4096  # bytes; enough for O_DIRECT on every block device (open(2), NOTES)


class WriteBehind:
    """Collects neighbouring bytes. What `put` was given is written at the latest by `flush`, in that order.

    Args:
        cached: a descriptor for reading and writing any bytes.
        direct: a descriptor of the same file for aligned ones; it is closed with this object.
        compare: read what is there first, and leave alone what is right already.
    """

    def __init__(self, cached: int, direct: int, *, compare: bool) -> None:
        self._cached = cached
        self._direct = direct
        self._compare = compare
        self._memories = cycle((aligned_memory(), aligned_memory()))
        self._found = aligned_memory()
        self._run = _Run(next(self._memories))
        self._thread = ThreadPoolExecutor(1)  # starts with the first run
        self._writing: Future[None] | None = None

    def put(self, offset: int, data: bytes) -> None:
        """Raises: OSError: some bytes that were put before cannot be written."""
        view = memoryview(data)
        while view:
            if not self._run.is_continued_at(offset):
                self._hand_over()
                self._run.begin(offset)
            taken = self._run.take(view)
            offset += taken
            view = view[taken:]

    def flush(self) -> None:
        """Raises: OSError: some bytes cannot be written; those are not tried again."""
        self._hand_over()
        self._wait()

    def close(self) -> None:
        """End the thread, close `direct`; what was not flushed is gone."""
        self._thread.shutdown()
        os.close(self._direct)

    def _hand_over(self) -> None:
        """Have the run written by the thread. Of the two memories, the other one is free by then."""
        self._wait()
        if self._run.start < self._run.stop:
            self._writing = self._thread.submit(self._write, self._run)
            self._run = _Run(next(self._memories))

    def _wait(self) -> None:
        if self._writing:
            # Not result(): an interrupt while waiting must not pass for the end of the writing.
            error = self._writing.exception()
            self._writing = None
            if error:
                raise error

    def _write(self, run: _Run) -> None:
        start, stop = run.start, run.stop
        first, last = start + -start % ALIGNMENT, stop - stop % ALIGNMENT
        if first >= last:
            return self._write_part(self._cached, run, start, stop)
        self._write_part(self._cached, run, start, first)
        self._write_part(self._direct, run, first, last)
        self._write_part(self._cached, run, last, stop)

    def _write_part(self, descriptor: int, run: _Run, start: int, stop: int) -> None:
        if not self._compare:
            return run.write(descriptor, start, stop)
        found = self._read(descriptor, run.base + start, stop - start)
        for first, last in differences(found, run.memory[start:stop]):
            run.write(descriptor, start + first, start + last)

    def _read(self, descriptor: int, offset: int, length: int) -> memoryview:
        """What is there; nothing where that cannot be read: writing may heal it."""
        try:
            got = os.preadv(descriptor, [self._found[:length]], offset)
        except OSError:
            got = 0
        return self._found[:got]


@dataclass(slots=True)
class _Run:
    """Neighbouring bytes that are to be written."""

    memory: memoryview  # aligned
    base: int = 0  # bytes, aligned: where in the file the memory lies
    start: int = 0  # bytes, in the memory: `[start, stop)` is to be written
    stop: int = 0

    def is_continued_at(self, offset: int) -> bool:
        return offset == self.base + self.stop and self.stop < len(self.memory)

    def begin(self, offset: int) -> None:
        self.base = offset - offset % ALIGNMENT
        self.start = self.stop = offset - self.base

    def take(self, data: memoryview) -> int:
        """Append what there is room for; returns how many bytes that were."""
        taken = min(len(data), len(self.memory) - self.stop)
        self.memory[self.stop : self.stop + taken] = data[:taken]
        self.stop += taken
        return taken

    def write(self, descriptor: int, start: int, stop: int) -> None:
        while start < stop:
            start += os.pwrite(descriptor, self.memory[start:stop], self.base + start)


def differences(found: memoryview, wanted: memoryview) -> Iterator[tuple[int, int]]:
    """Runs `[start, stop)` of whole blocks of ALIGNMENT bytes where `wanted` is not what was found."""
    # Never view with view: those are compared item by item, copies by memcmp.
    if bytearray(found) == wanted:
        return
    start = 0
    for offset in range(0, len(wanted), ALIGNMENT):
        stop = offset + ALIGNMENT
        if bytes(found[offset:stop]) == bytes(wanted[offset:stop]):
            if start < offset:
                yield start, offset
            start = stop
    if start < len(wanted):
        yield start, len(wanted)


def aligned_memory() -> memoryview:
    """BLOCK bytes as O_DIRECT needs them; they go with the last view."""
    return memoryview(mmap.mmap(-1, BLOCK))
