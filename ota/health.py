"""[health] of device.toml: what a new system has to show before it is confirmed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ota.errors import ConfigError, DeviceError
from ota.io import program
from ota.settings import Table

_POLL_S: Final = 1.0  # between two looks at units that are not active yet


@dataclass(frozen=True, slots=True)
class Health:
    """The checks; none: that the agent runs is the check."""

    commands: tuple[tuple[str, ...], ...] = ()  # each a program and its arguments; all must end with status 0
    units: tuple[str, ...] = ()  # of systemd; all must become active, and still be so behind the commands
    timeout_s: int = 120  # of all together

    def __bool__(self) -> bool:
        return bool(self.commands or self.units)


def parse(table: Table) -> Health:
    """Read [health].

    Raises:
        ConfigError: naming file and key.
    """
    health = Health(table.commands("commands"), table.texts("units"), table.integer("timeout_s", 120))
    table.done()
    if health.timeout_s <= 0:
        raise ConfigError(
            "config-value", f"{table.path}: health.timeout_s", expected="seconds", found=health.timeout_s
        )
    return health


def check(health: Health, alive: Callable[[], None]) -> None:
    """Wait for the units, run each command once, look at the units again.

    Args:
        alive: is called in front of each of these steps.

    Raises:
        DeviceError: "health-check": the first one that failed.
    """
    deadline = time.monotonic() + health.timeout_s
    for unit in health.units:
        while not _is_active(unit, deadline, alive):
            if time.monotonic() + _POLL_S >= deadline:
                raise _failed(unit, "active", f"not active after {health.timeout_s} s")
            time.sleep(_POLL_S)
    for command in health.commands:
        alive()
        ended = _run(command, deadline)
        if ended.status != 0:
            raise _failed(" ".join(command), "status 0", ended)
    for unit in health.units:
        if not _is_active(unit, deadline, alive):
            raise _failed(unit, "still active", "it no longer is")


def _is_active(unit: str, deadline: float, alive: Callable[[], None]) -> bool:
    alive()
    return _run(("systemctl", "is-active", "--quiet", unit), deadline).status == 0


def _run(command: tuple[str, ...], deadline: float) -> program.Ended:
    try:
        return program.run(command, timeout_s=max(0.0, deadline - time.monotonic()))
    except ConfigError as error:  # a system that lacks the program is not healthy
        raise _failed(" ".join(command), "status 0", error.what) from error


def _failed(what: str, expected: str, found: object) -> DeviceError:
    return DeviceError("health-check", what, expected=expected, found=found)
