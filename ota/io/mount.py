"""A file system of this device, mounted while something is written into it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ota.errors import DeviceError, OtaError
from ota.io import program
from ota.io.durable import translate
from ota.io.target import loops
from ota.native.disk import syncfs

_BUSY_S: Final = 2.0
_LOOP_S: Final = 2  # whoever holds a loop device longer has made it himself


@contextmanager
def mounted(device: Path, filesystem: str, folder: Path, *, readonly: bool = False) -> Iterator[Path]:
    """Mount a device on a folder, which is made; at the end everything written is on the medium.

    Args:
        device: a block device, or a file with a file system in it.
        filesystem: as mount(8) takes it.
        folder: of our own: what a killed run left mounted there is unmounted first.
        readonly: to look at it; what is mounted elsewhere, too, has to be mounted in the same way.

    Raises:
        DeviceError: "mount-failed", "slot-write", "state-unwritable".
        ConfigError: "tool-missing".
    """
    if filesystem == "auto" or filesystem.startswith("no") or "," in filesystem:  # rules of mount(8)
        raise DeviceError("mount-failed", f"{device}", expected="one file system's name", found=filesystem)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise translate(error, folder) from error
    if folder.is_mount():
        program.tool("umount", folder)
    command = ["mount", "-o", "ro" if readonly else "rw", "-t", filesystem, device, folder]
    ended = program.run(command, timeout_s=program.TIMEOUT_S)
    if ended.status != 0:
        raise DeviceError("mount-failed", f"{device} as {filesystem}", expected="status 0", found=str(ended))
    try:
        if not readonly and os.statvfs(folder).f_flag & os.ST_RDONLY:  # mount(8) falls back to that
            raise DeviceError("mount-failed", f"{device} as {filesystem}", found="it is write-protected")
        yield folder
        sync(folder)
    except BaseException:
        with suppress(OtaError):  # the first error is the one to tell of
            _unmount(folder)
        raise
    _unmount(folder)
    if readonly:
        _await_loops(device)


def _unmount(folder: Path) -> None:
    """Somebody else who looks at it keeps it busy for a moment: it is tried again for a while."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            program.tool("umount", folder)
            return
        except OtaError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _await_loops(device: Path) -> None:
    """Of a file, the read-only loop device goes a little later; until then it would be mounted again."""
    deadline = time.monotonic() + _LOOP_S
    while device.is_file() and loops(device) and time.monotonic() < deadline:
        time.sleep(0.01)


def sync(folder: Path) -> None:
    """Everything written to the file system that holds a folder is durable.

    Raises:
        DeviceError: "slot-write".
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs(descriptor)
    except OSError as error:
        raise DeviceError("slot-write", f"{folder} is not durable: {error.strerror}") from error
    finally:
        os.close(descriptor)
