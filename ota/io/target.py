"""Slots as bytes: a block device or a file of fixed size, read and written in place."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ota.errors import DeviceError
from ota.io.behind import ALIGNMENT, BLOCK, WriteBehind

_BLKGETSIZE64: Final = 0x80081272  # linux/fs.h: _IOR(0x12, 114, size_t)


class Target:
    """A block device or regular file. A `BlockTarget`; also a context manager.

    Args:
        path: the device or file; it must exist, and its size never changes.
        writable: opened for writing, and exclusively where it is a block device.

    Raises:
        DeviceError: "slot-unreadable", "slot-mounted".
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        # O_EXCL without O_CREAT: the kernel refuses a device that is mounted or claimed (open(2)).
        flags = os.O_CLOEXEC | (os.O_RDWR | os.O_EXCL if writable else os.O_RDONLY)
        try:
            mode = path.stat().st_mode
            self._fd = os.open(path, flags if stat.S_ISBLK(mode) else flags & ~os.O_EXCL)
        except OSError as error:
            code = "slot-mounted" if writable and error.errno == errno.EBUSY else "slot-unreadable"
            raise DeviceError(code, f"{path} cannot be opened: {error.strerror}") from error
        self.size = self._find_size(mode)
        self._behind = WriteBehind(self._fd, _open_direct(path, os.O_WRONLY)) if writable else None

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
        """See `BlockTarget`."""
        self._flush()
        view = memoryview(mmap.mmap(-1, BLOCK))  # aligned, as O_DIRECT needs it; it goes with the last view
        direct = _open_direct(self.path, os.O_RDONLY)
        try:
            offset = start
            while offset < stop:
                aligned = offset - offset % ALIGNMENT
                try:
                    got = os.preadv(direct, [view], aligned)
                except OSError as error:
                    raise self._unreadable(aligned, error.strerror) from error
                if aligned + got <= offset:
                    raise self._unreadable(offset, "it ends there")
                end = min(aligned + got, stop)
                yield view[offset - aligned : end - aligned]
                offset = end
        finally:
            os.close(direct)

    def write_at(self, offset: int, data: bytes) -> None:
        if offset + len(data) > self.size:
            raise DeviceError(
                "slot-size", f"{self.path} is too small", expected=f">= {offset + len(data)}", found=self.size
            )
        assert self._behind, "opened for reading"
        try:
            self._behind.put(offset, data)
        except OSError as error:
            raise self._unwritable(offset, error) from error

    def zero(self, offset: int, length: int) -> None:
        """See `BlockTarget`."""
        for start in range(offset, offset + length, BLOCK):
            self.write_at(start, bytes(min(BLOCK, offset + length - start)))

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

    def _find_size(self, mode: int) -> int:
        if stat.S_ISBLK(mode):
            buffer = fcntl.ioctl(self._fd, _BLKGETSIZE64, bytes(8))
            return int(struct.unpack("Q", buffer)[0])
        return os.fstat(self._fd).st_size

    def _unreadable(self, offset: int, reason: str | None) -> DeviceError:
        return DeviceError("slot-unreadable", f"{self.path} cannot be read at {offset}: {reason}")

    def _unwritable(self, offset: int, error: OSError) -> DeviceError:
        return DeviceError("slot-write", f"{self.path} cannot be written at {offset}: {error.strerror}")


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
    backing = str(path.resolve())
    return any(
        (device / "dev").read_text().strip() in mounted
        for device in Path("/sys/block").glob("loop*")
        if (device / "loop/backing_file").exists()
        and (device / "loop/backing_file").read_text().rstrip("\n") == backing
    )
