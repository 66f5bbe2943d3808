"""[commands] of device.toml: what the operator wants done around an installation.

As SWUpdate's preupdatecmd and postupdatecmd (swupdate: core/installer.c), but without a shell.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ota.errors import DeviceError, OtaError
from ota.io import program
from ota.settings import Table

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Commands:
    """Each a program and its arguments; empty: none."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    timeout_s: int = 600  # that each may take


def parse(table: Table, timeout_s: int) -> Commands:
    """Read [commands].

    Raises:
        ConfigError: naming file and key.
    """
    commands = Commands(table.texts("before"), table.texts("after"), timeout_s)
    table.done()
    return commands


def run_before(commands: Commands) -> None:
    """Ask the operator's command whether the update may begin.

    Raises:
        DeviceError: "command-refused".
        ConfigError: "tool-missing".
    """
    ended = _run(commands.before, commands.timeout_s)
    if ended.status != 0:
        words = " ".join(commands.before)
        raise DeviceError("command-refused", words, expected="status 0", found=str(ended))


def run_after(commands: Commands) -> None:
    """Tell the operator's command that the update is installed; where it fails, that is only logged."""
    try:
        ended = _run(commands.after, commands.timeout_s)
    except OtaError as error:
        _log.error("%s", error)
        return
    if ended.status != 0:
        _log.error("%s: %s", " ".join(commands.after), ended)


def _run(command: tuple[str, ...], timeout_s: int) -> program.Ended:
    if not command:
        return program.Ended(0, "")
    return program.run(command, timeout_s=timeout_s)
