"""Zeros without writing them: the kernel is asked to make a range of a device or a file zero."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from typing import Final

_BLKZEROOUT: Final = 0x127F  # linux/fs.h: _IO(0x12, 127); two u64: start, length
# linux/falloc.h: _IOW('X', 57 and 43, struct space_resv). The first keeps the file's space, which a slot will
# need again; tmpfs knows only the second. Neither changes the size.
_FS_IOC_ZERO_RANGE: Final = 0x40305839
_FS_IOC_UNRESVSP64: Final = 0x4030582B
_SPACE_RESV: Final = "=hh4xqq24x"  # type, whence, start, length, what is not looked at

# The device, the file system or the architecture does not know the request.
_UNKNOWN: Final = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL)


def make_zero(descriptor: int, offset: int, length: int) -> bool:
    """Make bytes zero for all later reads, cached or not; returns whether the kernel could.

    Args:
        offset: bytes; a multiple of the device's sector, as `length` is.

    Raises:
        OSError: it could, and failed.
    """
    if stat.S_ISBLK(os.fstat(descriptor).st_mode):
        return _ask(descriptor, _BLKZEROOUT, struct.pack("QQ", offset, length))
    place = struct.pack(_SPACE_RESV, 0, os.SEEK_SET, offset, length)
    return _ask(descriptor, _FS_IOC_ZERO_RANGE, place) or _ask(descriptor, _FS_IOC_UNRESVSP64, place)


def _ask(descriptor: int, request: int, place: bytes) -> bool:
    try:
        fcntl.ioctl(descriptor, request, place)
    except OSError as error:
        if error.errno in _UNKNOWN:
            return False
        raise
    return True
