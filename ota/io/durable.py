"""Small files that are whole or not there, whenever the power goes."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from ota.errors import DeviceError


def replace(path: Path, data: bytes) -> None:
    """Write a file by temporary, fsync, rename, and make the name durable too.

    Raises:
        DeviceError: "disk-full", "state-unwritable".
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise translate(error, path) from error


def check_room(folder: Path, size: int) -> None:
    """Refuse where so many bytes could not be written; nothing is.

    Raises:
        DeviceError: "disk-full", "state-unwritable".
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        status = os.statvfs(folder)
    except OSError as error:
        raise translate(error, folder) from error
    if status.f_flag & os.ST_RDONLY:
        raise DeviceError("state-unwritable", f"{folder} cannot be written: it is mounted read-only")
    free = status.f_bfree * status.f_frsize
    if free < size or (status.f_files and not status.f_ffree):
        raise DeviceError(
            "disk-full",
            f"{folder}: no room",
            expected=f">= {size} bytes",
            found=free,
            hint="free some space there",
        )


def remove(path: Path) -> None:
    """Remove a file durably; it may be absent already."""
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)
    except OSError as error:
        raise translate(error, path) from error


def translate(error: OSError, path: Path) -> DeviceError:
    """What an OSError below the state folder means to the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DeviceError("disk-full", f"{path.parent}: {error.strerror}", hint="free some space there")
    return DeviceError("state-unwritable", f"{path} cannot be written: {error.strerror}")


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
