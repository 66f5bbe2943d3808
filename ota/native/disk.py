"""What the kernel does with file systems, as far as Python's `os` cannot ask for it."""

from __future__ import annotations

import os

from ota.native._disk import ffi, lib


def syncfs(descriptor: int) -> None:
    """Make durable all that was written to the file system of an open file (syncfs(2)).

    Raises:
        OSError: it is not durable.
    """
    _check(lib.syncfs(descriptor))


def own_folders() -> None:
    """Give the calling thread a root, a working directory and a umask of its own (unshare(2), CLONE_FS).

    Raises:
        OSError: the kernel does not allow it.
    """
    _check(lib.unshare(lib.CLONE_FS))


def _check(result: int) -> None:
    if result:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
