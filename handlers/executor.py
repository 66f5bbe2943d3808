"""`executor`: the payload is the standard input of a program of this device.

Properties: `cmd`, the path of the program, and `parms`, its arguments as /bin/sh reads them (swupdate:
handlers/handler_helpers.c). What the program does with the payload cannot be read back: its exit status is
all that is known, and where it writes is the package's own concern.
"""

from __future__ import annotations

import os
from pathlib import Path

from ota.device import Device
from ota.errors import ConfigError, UpdateError
from ota.formats.selection import Description, Entry, Section
from ota.interfaces import Cost
from ota.io import script
from ota.io.readers import blocks
from ota.job import Job, Payload, plain


def executor(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    command = _command(entry)

    def check() -> None:
        # A script of the package may bring the program along.
        if not any(other.section is Section.SCRIPTS for other in description.entries):
            _prove_executable(command)

    def run() -> Cost:
        script.run(
            command,
            entry.property("parms") or "",
            timeout_s=device.config.script_s,
            feed=blocks(plain(entry, payload, device)),
        )
        return Cost()

    return Job(check=check, run=run)


def _command(entry: Entry) -> Path:
    command = entry.property("cmd") or ""
    if not command.startswith("/"):
        raise UpdateError(
            "description-content", f"{entry.label}: property cmd", expected="an absolute path", found=command
        )
    return Path(command)


def _prove_executable(command: Path) -> None:
    if not (command.is_file() and os.access(command, os.X_OK)):
        raise ConfigError("tool-missing", f"{command} is no program of this device")
