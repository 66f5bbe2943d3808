"""One installation from a command's point of view: decided, carried out, measured, remembered."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ota import folder, installer, package
from ota import record as records
from ota.decision import Update
from ota.device import Device
from ota.errors import OtaError
from ota.formats.selection import Selection
from ota.interfaces import Bootloader, Cost, Reader
from ota.io.http import open_file
from ota.statistics import Meter, to_json

Answer = dict[str, object]


def install(
    device: Device,
    bootloader: Bootloader,
    decide: Callable[[], Update],
    answer: Answer,
    *,
    dry_run: bool = False,
) -> Update:
    """Decide and carry out, under the lock of the caller.

    Args:
        answer: says what that took, and so will `ota status`.

    Raises:
        OtaError: it is not installed.
    """
    meter = Meter()
    cost = Cost()
    try:
        update = decide()
        answer |= {"version": update.description.version, "signer": update.signer}
        cost = update.cost if dry_run else installer.install(update, bootloader)
        answer |= told(update)
    except OtaError as error:
        if error.code != "package-known":  # nobody asked for it
            records.remember(device.config.state_dir, {**answer, "error": error.to_json()})
        raise
    finally:
        answer |= to_json(cost, meter.read())
    if not dry_run:
        records.remember(device.config.state_dir, answer)
    return update


def told(update: Update) -> Answer:
    """`methods`, where there was a choice."""
    return {"methods": update.methods} if update.methods else {}


def open_source(name: str, device: Device, chosen: Selection | None) -> Reader:
    """A package: by path, by URL, `-` for what comes through a pipe, or the best one of a folder."""
    if name == "-":
        return package.Pipe(sys.stdin.buffer)
    if name.startswith(("http://", "https://")):
        return open_file(name, device.network, device.servers)
    path = Path(name)
    return package.open_package(folder.choose(path, device, chosen) if path.is_dir() else path)
