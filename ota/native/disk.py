"""What the kernel does with file systems, as far as Python's `os` cannot ask for it."""

from __future__ import annotations

import os

from ota.native._disk import ffi, lib


def syncfs(descriptor: int) -> None:
    """Make durable all that was written to the file system of an open file (syncfs(2)).

    Raises:
        OSError: it is not durable.
    """
    if lib.syncfs(descriptor):
        raise OSError(ffi.errno, os.strerror(ffi.errno))
