"""`ota status`: what the slots hold, what the boot loader was told, how the last update ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from ota import record as records
from ota.board import Slot
from ota.boot import state
from ota.boot.table import RECOVERY_STATUS, USTATE, UpdateState
from ota.device import Device
from ota.interfaces import Bootloader
from ota.startup.look import tell

_WORDS: Final[Mapping[UpdateState, str]] = {
    UpdateState.INSTALLED: "installed, not tried yet",
    UpdateState.TESTING: "on trial",
    UpdateState.FAILED: "the last update failed",
    UpdateState.IN_PROGRESS: "an update is being written, or was interrupted",
}


def slot(device: Device, slot: Slot) -> dict[str, object]:
    """What a slot holds."""
    record = device.manifests.record(slot.name)
    half = device.manifests.pending(slot.name) is not None
    return {
        "device": str(device.path(slot)),
        "running": slot == device.config.running,
        "content": "half written" if half else "known" if record else "unknown",
        "version": record and record.version,
        "since": record and _text(record.since),
        "manifest_sha256": record and record.manifest_sha256,
    }


def last_update(device: Device) -> dict[str, object] | None:
    """The last update that the boot loader was told of."""
    record = records.read(device.config.state_dir)
    if record is None:
        return None
    return {
        "version": record.release.version,
        "package": record.release.package,
        "slot": record.slot,
        "at": _text(record.at),
        "outcome": record.outcome,
        "reason": record.reason or None,
        "told": tell(device, record),
    }


def boot(device: Device, bootloader: Bootloader) -> dict[str, object]:
    """What the boot loader will do.

    Raises:
        DeviceError: "boot-environment".
    """
    variables = bootloader.read()
    situation = state.read(bootloader, device.board, device.config.running)
    return {
        RECOVERY_STATUS: variables.get(RECOVERY_STATUS),
        USTATE: variables.get(USTATE),
        "slot": situation.named.name if situation.named else None,
        "state": _WORDS.get(situation.state, "nothing on trial"),
        "tries": situation.tries,
        "limit": device.board.tries,
    }


def _text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
