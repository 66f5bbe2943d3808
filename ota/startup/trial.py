"""How a trial boot ends: the new system is confirmed, or the old one comes back."""

from __future__ import annotations

import logging
from dataclasses import replace

from ota import health
from ota import record as records
from ota.board import Slot
from ota.boot import state
from ota.boot.state import Situation
from ota.boot.table import SETTLED, Action, Event, UpdateState
from ota.device import Device
from ota.errors import DeviceError, OtaError
from ota.interfaces import Bootloader
from ota.io.watchdog import Alive
from ota.record import Outcome, Record, Release
from ota.startup.look import is_restart_due, note, read, tell

_log = logging.getLogger(__name__)


def judge(device: Device, bootloader: Bootloader, alive: Alive) -> OtaError | None:
    """Check the health of the system on trial, and confirm it.

    Returns:
        None, or why it was rolled back: the restart is due.

    Raises:
        OtaError: it could be neither confirmed nor rolled back: the boot loader counts on. Or it is not
            well, and the update was one that switches no slot.
    """
    if not device.config.health:
        _log.info("no health checks are configured: that the system and its agent run has to do")
    try:
        health.check(device.config.health, alive)
    except Exception as error:  # also one of ours: a system whose agent does not work is not well
        _log.debug("what the health checks raised", exc_info=True)
        reason = error if isinstance(error, OtaError) else _fault(error)
        if _has_nothing_behind(device, records.read(device.config.state_dir)):
            _log.error("the update switched no slot, so there is nothing to roll back to")
            confirm(device, bootloader)
            raise reason from error
        roll_back(device, bootloader, str(reason))
        return reason
    confirm(device, bootloader)
    return None


def confirm(device: Device, bootloader: Bootloader) -> bool:
    """The running system stays; returns whether that is new.

    Raises:
        DeviceError: "boot-environment", "boot-state".
    """
    situation = read(device, bootloader)
    step = state.step(situation, Event.CONFIRM)
    if step.changes:
        bootloader.apply(step.changes)
    record = _of_running(device, situation)
    if record.outcome is not Outcome.CONFIRMED:
        record = record.ended(Outcome.CONFIRMED)
        note(device, record)
    _log.info("%s", tell(device, record))
    return bool(step.changes)


def roll_back(device: Device, bootloader: Bootloader, reason: str) -> bool:
    """The system before comes back; returns whether a restart is due.

    A system on trial is given up. A confirmed one makes way for the release before, which is tried anew.

    Raises:
        DeviceError: "boot-environment", "boot-state"; "slot-no-manifest", "slot-unreadable": the other slot
            holds no whole system.
    """
    situation = read(device, bootloader)
    record = records.read(device.config.state_dir)
    if situation.named != situation.running and _was_rolled_back(situation, record):
        return True
    if situation.named == situation.running and situation.state is UpdateState.FAILED:
        _log.info("slot %s runs, and nothing is on trial", situation.running.name)
        return False
    step = state.step(situation, Event.ROLL_BACK)
    idle = device.board.other(situation.running)
    on_trial = situation.state not in SETTLED
    if situation.named == situation.running:
        if on_trial and _has_nothing_behind(device, record):
            raise DeviceError("boot-state", "the update switched no slot: there is nothing to roll back to")
        _check_whole(device, idle, is_known=on_trial)
    if on_trial:
        ended = _pending(device, situation).ended(Outcome.ROLLED_BACK, reason)
        note(device, replace(ended, boot=records.boot_id()))
    else:
        note(device, _turned(device, situation, idle, reason))
    bootloader.apply(step.changes)
    _log.info("%s", step.why)
    return step.action is Action.REBOOT


def _has_nothing_behind(device: Device, record: Record | None) -> bool:
    """Whether the update that is tried went into the slot that ran already: files, partitions, variables."""
    running = device.config.running.name
    return record is not None and record.slot == record.before == running


def _fault(error: Exception) -> DeviceError:
    return DeviceError("health-check", "a fault of the agent", found=repr(error))


def _was_rolled_back(situation: Situation, record: Record | None) -> bool:
    if situation.state is UpdateState.FAILED:  # now, or before a start that brought this slot all the same
        return True
    return is_restart_due(situation, record) and record is not None and record.is_rollback


def _check_whole(device: Device, slot: Slot, *, is_known: bool) -> None:
    """Refuse to start a slot that holds no whole system.

    Args:
        is_known: a good system ran there before: it need not be one whose manifest we have.
    """
    if not device.path(slot).exists():
        raise DeviceError("slot-unreadable", f"slot {slot.name!r}: {device.path(slot)} is not there")
    if device.manifests.pending(slot.name) or not (is_known or device.manifests.get(slot.name)):
        raise DeviceError(
            "slot-no-manifest",
            f"slot {slot.name!r} is not known to hold a whole system",
            hint="ota install PACKAGE, or ota adopt SLOT HEADER",
        )


def _of_running(device: Device, situation: Situation) -> Record:
    """The record of the release that runs."""
    record = records.read(device.config.state_dir)
    if record and record.slot == situation.running.name and record.outcome is not Outcome.FAILED:
        return record
    held = device.manifests.record(situation.running.name)
    release, running = Release(held.version if held else ""), situation.running
    begun = records.begun(device.config.state_dir, release, running.name, device.board.other(running).name)
    return replace(begun, at=0)  # it is not known when that was


def _pending(device: Device, situation: Situation) -> Record:
    """The record of the update that is tried, or would be."""
    if situation.named == situation.running:
        return _of_running(device, situation)
    record = records.read(device.config.state_dir)
    idle = device.board.other(situation.running)
    if record and record.slot == idle.name:
        return record
    return records.begun(device.config.state_dir, Release(""), idle.name, situation.running.name)


def _turned(device: Device, situation: Situation, idle: Slot, reason: str) -> Record:
    """The record of a release that comes back; the one that runs is refused from now on."""
    leaving = _of_running(device, situation).ended(Outcome.ROLLED_BACK, reason)
    held = device.manifests.record(idle.name)
    release = Release(held.version if held else "")
    begun = records.begun(
        device.config.state_dir, release, idle.name, situation.running.name, is_rollback=True
    )
    return replace(begun, refused=leaving.refused, reason=f"{leaving.release.version} was left: {reason}")
