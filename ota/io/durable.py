"""Small files that are whole or not there, whenever the power goes."""

from __future__ import annotations

import errno
import os
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
        temporary.unlink(missing_ok=True)
        raise translate(error, path) from error


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
