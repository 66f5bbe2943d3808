"""The first look after a start: what the boot environment says, and what became of the last update."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ota import record as records
from ota.boot import state
from ota.boot.state import Situation, Step
from ota.boot.table import SETTLED, Action, Event, UpdateState
from ota.device import Device
from ota.errors import DeviceError, OtaError
from ota.interfaces import Bootloader
from ota.record import Outcome, Record, Release

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, and done about it."""

    situation: Situation
    action: Action  # what is to be done next
    is_restart_due: bool = False  # another slot was chosen since the last start


def read(device: Device, bootloader: Bootloader) -> Situation:
    """Look at the environment; what names no slot is nothing to build on.

    Raises:
        DeviceError: "boot-environment".
    """
    situation = state.read(bootloader, device.board, device.config.running)
    if situation.named is None:
        names = sorted({name for slot in device.board.slots for name in slot.bootenv})
        variables = bootloader.read()
        raise DeviceError(
            "boot-environment",
            "the boot environment names no slot of this board",
            expected=" or ".join(_assigned(slot.bootenv) for slot in device.board.slots),
            found=_assigned({name: variables.get(name, "") for name in names}),
            hint="ota install PACKAGE sets it right",
        )
    return situation


def look(device: Device, bootloader: Bootloader) -> Look:
    """Look, say what is found, and store and note what follows from it.

    Raises:
        DeviceError: "boot-environment".
    """
    situation = read(device, bootloader)
    if is_restart_due(situation, records.read(device.config.state_dir)):
        assert situation.named is not None
        _log.info("slot %s was chosen, and the restart is due", situation.named.name)
        return Look(situation, Action.NOTHING, is_restart_due=True)
    step = state.step(situation, Event.BOOTED)
    _log.info("slot %s runs: %s", situation.running.name, step.why)
    if step.changes:
        bootloader.apply(step.changes)
    _note(device, situation, step)
    if step.action is Action.CHECK_HEALTH and not _is_ours(device, situation):
        _forget(device, situation)
    if situation.state is UpdateState.IN_PROGRESS:
        idle = device.board.other(situation.running).name
        _log.info("an update of slot %s was interrupted; its package finishes it", idle)
    return Look(situation, step.action)


def is_restart_due(situation: Situation, record: Record | None) -> bool:
    """Whether another slot was chosen since the last start: by us, and not by the boot loader."""
    if situation.named == situation.running:
        return False
    if situation.state is UpdateState.FAILED:  # rolled back, now or, if that is noted, in an earlier boot
        return record is None or record.outcome is Outcome.PENDING or record.boot == records.boot_id()
    return record is not None and record.outcome is Outcome.PENDING and record.boot == records.boot_id()


def note(device: Device, record: Record) -> None:
    """Keep a record; where that cannot be done it is said, and all goes on: the environment decides."""
    try:
        records.write(device.config.state_dir, record)
    except OtaError as error:
        _log.error("%s", error)


def _note(device: Device, situation: Situation, step: Step) -> None:
    """Note how an update ended meanwhile, and say so."""
    record = records.read(device.config.state_dir)
    gave_up = situation.fell_back or bool(step.changes)
    if gave_up and (record is None or record.outcome is Outcome.CONFIRMED):  # another program installed it
        idle = device.board.other(situation.running)
        begun = records.begun(device.config.state_dir, Release(""), idle.name, situation.running.name)
        record = replace(begun, at=0)  # it is not known when that was
    if record is None or record.outcome is not Outcome.PENDING:
        return
    ended = _ended(record, situation, gave_up=gave_up)
    if ended.outcome is not Outcome.PENDING:
        _log.info("%s", tell(device, ended))
        note(device, ended)


def _is_ours(device: Device, situation: Situation) -> bool:
    """Whether this agent has put on trial what runs."""
    record = records.read(device.config.state_dir)
    return record is not None and record.outcome is Outcome.PENDING and record.slot == situation.running.name


def _forget(device: Device, situation: Situation) -> None:
    """Another program has written the slot, so what is noted of it is wrong."""
    _log.info("another program has installed slot %s", situation.running.name)
    try:
        device.manifests.forget(situation.running.name)
    except OtaError as error:
        _log.error("%s", error)


def _ended(record: Record, situation: Situation, *, gave_up: bool) -> Record:
    """How a pending update ended, as the environment tells; or that it did not yet."""
    if situation.fell_back:
        return record.ended(Outcome.FELL_BACK, f"it did not start in {situation.tries} tries")
    if gave_up:
        return record.ended(Outcome.FELL_BACK, "the boot loader could not start it")
    if situation.state is UpdateState.IN_PROGRESS:
        return record.ended(Outcome.FAILED, "interrupted before the switch")
    if situation.state in SETTLED and record.slot == situation.running.name:
        return record.ended(Outcome.CONFIRMED)
    if situation.state in SETTLED or situation.state is UpdateState.FAILED:
        return record.ended(Outcome.ROLLED_BACK, "another slot was chosen")
    return record


def tell(device: Device, record: Record) -> str:
    """How the last update stands, in a sentence."""
    release = record.release.version or "the update"
    told = f"{release} in slot {record.slot}: {record.outcome}"
    if record.reason:
        told += f", {record.reason}"
    running = device.config.running
    if record.slot != running.name:
        held = device.manifests.record(running.name)
        told += f"; slot {running.name}" + (f" ({held.version})" if held and held.version else "") + " runs"
    return told


def _assigned(variables: object) -> str:
    assert isinstance(variables, dict)
    return ",".join(f"{name}={value}" for name, value in variables.items())
