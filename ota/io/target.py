"""Slots as bytes: a block device or a file of fixed size, read and written in place."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from ota.errors import DeviceError
from ota.io.behind import ALIGNMENT, BLOCK, WriteBehind, aligned_memory
from ota.io.zeros import make_zero

_BLKGETSIZE64: Final = 0x80081272  # linux/fs.h: _IOR(0x12, 114, size_t)
_WORTH_ASKING: Final = 16 * ALIGNMENT  # bytes; fewer zeros are written together with their neighbours

_SYSFS_SECTOR: Final = 512  # bytes, whatever the disk's own are (Documentation/ABI/stable/sysfs-block)

_Result = TypeVar("_Result")


class Target:
    """A block device or regular file. A `BlockTarget`; also a context manager.

    Args:
        path: the device or file; it must exist, and its size never changes.
        writable: opened for writing, and exclusively where it is a block device.
        compare: what is right already is not written again. That costs reading it; a slot known to
            be blank, or to differ everywhere, needs none of it.
        exclusive: nobody else may have it, nor a partition of it.

    Raises:
        DeviceError: "slot-unreadable", "slot-mounted".
    """

    def __init__(
        self, path: Path, *, writable: bool = False, compare: bool = True, exclusive: bool = True
    ) -> None:
        self.path = path
        # O_EXCL without O_CREAT: the kernel refuses a device that is mounted or claimed (open(2)).
        flags = os.O_CLOEXEC | (os.O_RDWR | os.O_EXCL if writable else os.O_RDONLY)
        try:
            mode = path.stat().st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISDIR(mode):  # opening a pipe would wait for its other end
                raise DeviceError("slot-unreadable", f"{path} is neither a block device nor a file")
            self._fd = os.open(path, flags if exclusive and stat.S_ISBLK(mode) else flags & ~os.O_EXCL)
        except OSError as error:
            code = "slot-mounted" if writable and error.errno == errno.EBUSY else "slot-unreadable"
            raise DeviceError(code, f"{path} cannot be opened: {error.strerror}") from error
        self.size = self._find_size(mode)
        self._behind: WriteBehind | None = None
        if writable:
            self._behind = WriteBehind(self._fd, _open_direct(path, os.O_RDWR), compare=compare)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending; it is not durable yet. What `sync` would have failed on is lost."""
        try:
            self._flush()
        finally:
            if self._behind:
                self._behind.close()
            os.close(self._fd)

    def fileno(self) -> int:
        return self._fd

    def read_at(self, offset: int, length: int) -> bytes:
        self._flush()
        pieces = []
        while length:
            try:
                piece = os.pread(self._fd, length, offset)
            except OSError as error:
                raise self._unreadable(offset, error.strerror) from error
            if not piece:
                raise self._unreadable(offset, "it ends there")
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def scan(self, start: int, stop: int) -> Iterator[memoryview]:
        """See `BlockTarget`. A thread reads the next block while the caller has this one."""
        self._flush()
        direct = _open_direct(self.path, os.O_RDONLY)
        memories = cycle((aligned_memory(), aligned_memory()))
        reads = (
            partial(self._read_block, direct, next(memories), base, start, stop)
            for base in range(start - start % ALIGNMENT, stop, BLOCK)
        )
        try:
            yield from _ahead(reads)
        finally:
            os.close(direct)

    def write_at(self, offset: int, data: bytes) -> None:
        self._check_room(offset + len(data))
        assert self._behind, "opened for reading"
        try:
            self._behind.put(offset, data)
        except OSError as error:
            raise self._unwritable(offset, error) from error

    def zero(self, offset: int, length: int) -> None:
        """See `BlockTarget`. Whole blocks are left to the kernel, which may do it without writing."""
        stop = offset + length
        first, last = offset + -offset % ALIGNMENT, stop - stop % ALIGNMENT
        if last - first < _WORTH_ASKING or not self._make_zero(first, last):
            return self._write_zeros(offset, stop)
        self._write_zeros(offset, first)
        self._write_zeros(last, stop)

    def flush(self) -> None:
        """See `BlockTarget`."""
        self._flush()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._unwritable(0, error) from error

    def sync(self) -> None:
        self._flush()
        try:
            os.fsync(self._fd)
            # Clean pages of a file and of a block device alike; the next read is the medium's.
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise self._unwritable(0, error) from error

    def _flush(self) -> None:
        try:
            if self._behind:
                self._behind.flush()
        except OSError as error:
            raise self._unwritable(0, error) from error

    def _read_block(self, direct: int, memory: memoryview, base: int, start: int, stop: int) -> memoryview:
        """The bytes of `[start, stop)` that lie in the block at `base`, which is aligned."""
        first, last = max(start - base, 0), min(stop - base, BLOCK)
        got = 0
        while got < last:
            aligned = got - got % ALIGNMENT
            try:
                reached = aligned + os.preadv(direct, [memory[aligned:]], base + aligned)
            except OSError as error:
                raise self._unreadable(base + aligned, error.strerror) from error
            if reached <= got:
                raise self._unreadable(base + got, "it ends there")
            got = reached
        return memory[first:last]

    def _make_zero(self, start: int, stop: int) -> bool:
        self._check_room(stop)
        self._flush()  # what was written before comes first
        try:
            return make_zero(self._fd, start, stop - start)
        except OSError as error:
            raise self._unwritable(start, error) from error

    def _write_zeros(self, start: int, stop: int) -> None:
        for offset in range(start, stop, BLOCK):
            self.write_at(offset, bytes(min(BLOCK, stop - offset)))

    def _check_room(self, stop: int) -> None:
        if stop > self.size:
            raise DeviceError(
                "slot-size", f"{self.path} is too small", expected=f">= {stop}", found=self.size
            )

    def _find_size(self, mode: int) -> int:
        if stat.S_ISBLK(mode):
            buffer = fcntl.ioctl(self._fd, _BLKGETSIZE64, bytes(8))
            return int(struct.unpack("Q", buffer)[0])
        return os.fstat(self._fd).st_size

    def _unreadable(self, offset: int, reason: str | None) -> DeviceError:
        return DeviceError("slot-unreadable", f"{self.path} cannot be read at {offset}: {reason}")

    def _unwritable(self, offset: int, error: OSError) -> DeviceError:
        return DeviceError("slot-write", f"{self.path} cannot be written at {offset}: {error.strerror}")


def _ahead(calls: Iterable[Callable[[], _Result]]) -> Iterator[_Result]:
    """The calls' results in order; a thread makes the next call before this result is taken back."""
    with ThreadPoolExecutor(1) as thread:
        ahead: Future[_Result] | None = None
        for call in calls:
            following = thread.submit(call)
            if ahead:
                yield ahead.result()
            ahead = following
        if ahead:
            yield ahead.result()


def _open_direct(path: Path, flags: int) -> int:
    """A descriptor that goes past the page cache; tmpfs, which has no medium, knows none."""
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise DeviceError("slot-unreadable", f"{path} cannot be opened: {error.strerror}") from error
        return os.open(path, flags | os.O_CLOEXEC)


def same_file(left: Path, right: Path) -> bool:
    """Whether two paths lead to the same block device or file; a missing one is never the same."""
    try:
        first, second = left.stat(), right.stat()
    except OSError:
        return False
    if stat.S_ISBLK(first.st_mode) and stat.S_ISBLK(second.st_mode):
        return first.st_rdev == second.st_rdev
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def lies_on(path: Path) -> tuple[object, int]:
    """What a path's bytes are part of, and where they begin in it: a partition lies on its disk."""
    try:
        status = path.stat()
    except OSError:
        return str(path.resolve()), 0
    if not stat.S_ISBLK(status.st_mode):
        return (status.st_dev, status.st_ino), 0
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    sysfs = Path("/sys/dev/block", number)
    if not (sysfs / "partition").exists():
        return number, 0
    disk = (sysfs.resolve().parent / "dev").read_text().strip()
    return disk, int((sysfs / "start").read_text()) * _SYSFS_SECTOR


def is_mounted(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether a file system on this block device, or on this file through a loop device, is mounted."""
    try:
        status = path.stat()
        lines = mountinfo.read_text().splitlines()
    except OSError:
        return False
    mounted = {line.split()[2] for line in lines}
    if stat.S_ISBLK(status.st_mode):
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" in mounted
    return any(_line(device / "dev") in mounted for device in loops(path))


def loops(path: Path) -> list[Path]:
    """The loop devices over a file, as folders of sysfs."""
    backing = str(path.resolve())
    devices = Path("/sys/block").glob("loop*")
    return [device for device in devices if _line(device / "loop/backing_file") == backing]


def _line(attribute: Path) -> str | None:
    """What sysfs says; None where it is not there, or goes at this moment."""
    try:
        return attribute.read_text().rstrip("\n")
    except OSError:
        return None
