"""`ota boot`: what is done after every start, in this order.

1. Look at the boot environment: what runs, what became of the last update. Where it cannot be read, or names
   no slot, nothing is written, and nothing else is done.
2. In a trial boot: check the system's health, and confirm it or roll it back.
3. Look for a package that is new, and install it.

What goes wrong is one line each; the system that runs goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from ota import lock
from ota import record as records
from ota.boot.table import Action
from ota.device import Device
from ota.errors import DeviceError, OtaError
from ota.interfaces import Bootloader
from ota.io.watchdog import Alive
from ota.job import Row
from ota.startup import trial
from ota.startup.look import Look, look

Answer = dict[str, object]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """What came of it."""

    problems: list[OtaError] = field(default_factory=list)
    installed: Answer = field(default_factory=dict)  # of the installation, if one was tried
    restarts: bool = False  # another slot is to be started now

    def complain(self, error: OtaError) -> None:
        """One line, now; the first one gives the exit status."""
        _log.error("%s", error)
        self.problems.append(error)

    def to_json(self) -> Answer:
        """The keys of the command line's answer."""
        return {
            "problems": [error.to_json() for error in self.problems],
            "installed": self.installed or None,
            "restart": self.restarts,
        }


def run(device: Device, bootloader: Bootloader, handlers: Mapping[str, Row], alive: Alive) -> Report:
    """Do it all, as far as it is safe.

    Raises:
        DeviceError: "busy".
    """
    report = Report()
    with lock.held(device.config.state_dir, required=False):
        try:
            _run(device, bootloader, handlers, alive, report)
        except OtaError as error:
            report.complain(error)
    return report


def _run(
    device: Device, bootloader: Bootloader, handlers: Mapping[str, Row], alive: Alive, report: Report
) -> None:
    seen = look(device, bootloader)
    alive()
    if seen.action is Action.CHECK_HEALTH:
        reason = trial.judge(device, bootloader, alive)
        if reason:
            report.complain(reason)
            report.restarts = True
            return
    alive()
    if seen.is_restart_due or not device.config.packages:
        return
    from ota.startup import sources  # loads what installs

    _check_slots(device, seen)
    update = sources.install_first(device, bootloader, handlers, report.installed, report.complain)
    if update is None:
        if not report.problems:
            _log.info("there is nothing new to install")
        return
    record = records.read(device.config.state_dir)
    _log.info("%s is installed in slot %s", update.description.version, record.slot if record else "?")
    report.restarts = update.description.reboot is not False


def _check_slots(device: Device, seen: Look) -> None:
    """Refuse to look for a package where the slot is missing that it would be installed in."""
    idle = device.board.other(seen.situation.running)
    if not device.path(idle).exists():
        raise DeviceError(
            "slot-unreadable",
            f"slot {idle.name!r} is missing",
            expected=device.path(idle),
            hint="is it the right board file?",
        )
