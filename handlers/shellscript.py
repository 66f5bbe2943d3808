"""`shellscript`, `preinstall`, `postinstall`: the payload is a program of the package, run around the update.

A `shellscript` is called with `preinst` before anything is written, with `postinst` when everything was, and
with `postfailure` when the update failed in between; `preinstall` and `postinstall` are called once, without
such a word. `data` becomes further arguments (swupdate: handlers/shell_scripthandler.c). All scripts of a
package lie in one folder, under their own names, from before the first is called until the update has ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from ota.device import Device
from ota.errors import DeviceError, UpdateError
from ota.formats.selection import Description, Entry
from ota.interfaces import Reader
from ota.io import script
from ota.io.durable import translate
from ota.io.readers import blocks
from ota.job import Job, Payload, plain

FOLDER: Final = "scripts"  # in the state folder
MAX_UNPACKED: Final = 32 << 20  # bytes of one script, unless it is longer than that in the archive


def shellscript(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    call = partial(_call, entry, device)
    return replace(
        _job(entry, payload, device, description),
        before=partial(call, "preinst"),
        after=partial(call, "postinst"),
        failed=partial(call, "postfailure"),
    )


def preinstall(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    return replace(_job(entry, payload, device, description), before=partial(_call, entry, device))


def postinstall(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    return replace(_job(entry, payload, device, description), after=partial(_call, entry, device))


def _job(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    path = _path(entry, device)

    def check() -> None:
        try:
            _make_folder(path.parent, keep={other.filename for other in description.entries})
            _write(path, _bounded(plain(entry, payload, device), payload, entry.label))
        except OSError as error:
            raise translate(error, path) from error

    def close() -> None:
        with suppress(OSError):  # what is left is removed the next time
            path.unlink(missing_ok=True)
            path.parent.rmdir()

    return Job(check=check, close=close)


def _call(entry: Entry, device: Device, word: str = "") -> None:
    arguments = f"{word} {entry.data or ''}".strip()
    script.run(_path(entry, device), arguments, timeout_s=device.config.script_s)


def _path(entry: Entry, device: Device) -> Path:
    return device.config.state_dir.resolve() / FOLDER / str(entry.filename)


def _make_folder(folder: Path, keep: set[str | None]) -> None:
    """Our own, and without the scripts that a killed run left. What scripts made there is not ours."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        raise DeviceError(
            "state-noexec",
            f"{folder} lies on a file system that is mounted noexec",
            hint="mount it exec, or move state_dir",
        )
    for left in folder.iterdir():
        if left.name not in keep and not left.is_dir():
            left.unlink()


def _write(path: Path, data: Iterator[bytes]) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.writelines(data)
    path.chmod(0o700)


def _bounded(reader: Reader, payload: Payload, what: str) -> Iterator[bytes]:
    """Its blocks; what unpacks without end is stopped."""
    limit, size = max(payload.size, MAX_UNPACKED), 0
    for block in blocks(reader):
        size += len(block)
        if size > limit:
            raise UpdateError("member-size", f"{what} is too long", expected=f"<= {limit} bytes, unpacked")
        yield block
