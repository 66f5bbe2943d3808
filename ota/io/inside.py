"""Below the root of a file system, mounted wherever it is: no link on the way leads out of it.

A link's absolute target starts at that root, and `..` does not climb above it, as after chroot(2).
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from ota.errors import DeviceError
from ota.io.durable import sync_folder
from ota.native.disk import own_folders

MAX_LINKS: Final = 40  # on the way to one file, as Linux has it (path_resolution(7))

_Result = TypeVar("_Result")


def resolve(root: Path, path: str) -> Path:
    """Where a path leads to below `root`; neither links nor `..` are left in what is appended to `root`.

    What does not exist, and what follows it, stays as it is.

    Raises:
        DeviceError: "path-unusable": too many links.
    """
    here, links = root, 0
    parts = deque(path.split("/"))
    while parts:
        part = parts.popleft()
        if part == "..":
            here = here if here == root else here.parent
        elif part not in ("", "."):
            there = here / part
            if not there.is_symlink():
                here = there
                continue
            links += 1
            if links > MAX_LINKS:
                raise DeviceError("path-unusable", f"{path}: too many links on the way", found=there)
            target = str(there.readlink())
            here = root if target.startswith("/") else here
            parts.extendleft(reversed(target.split("/")))
    return here


def make_folders(path: Path, mode: int = 0o755) -> None:
    """Make a folder that `resolve` found, and those above it, durably; they may exist.

    Raises:
        DeviceError: "path-unusable", "file-system-full".
    """
    if path.is_dir():
        return
    make_folders(path.parent)
    try:
        path.mkdir(mode=mode)
        sync_folder(path.parent)
    except OSError as error:
        raise translate(error, path) from error


def nearest(path: Path) -> Path:
    """The path itself, or the lowest folder above it that exists."""
    return next(there for there in (path, *path.parents) if os.path.lexists(there))


def translate(error: OSError, path: Path | str) -> DeviceError:
    """What an OSError means where the update puts a file."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DeviceError("file-system-full", f"{path}: {error.strerror}")
    return DeviceError("path-unusable", f"{path} cannot be used: {error.strerror}")


def start(
    thread: ThreadPoolExecutor, root: Path, folder: Path, work: Callable[[], _Result]
) -> Future[_Result]:
    """Have a thread work with `root` as its root and `folder` as its working directory.

    Only that thread has them, and for good: it may do nothing else afterwards. What is imported, opened by
    name or looked up must be so before.

    Args:
        folder: as `resolve` found it.
    """

    def enter() -> _Result:
        try:
            own_folders()
            if root != Path("/"):
                os.chroot(root)
            os.chdir("/" / folder.relative_to(root))
        except OSError as error:
            raise translate(error, folder) from error
        return work()

    return thread.submit(enter)
