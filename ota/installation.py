"""One installation from a command's point of view: decided, carried out, measured, remembered."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ota import folder, installer, package
from ota.decision import Update
from ota.device import Device
from ota.errors import OtaError
from ota.formats.selection import Selection
from ota.interfaces import Bootloader, Cost, Reader
from ota.io import durable
from ota.io.http import open_file
from ota.statistics import Meter, to_json

Answer = dict[str, object]

_log = logging.getLogger(__name__)


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
    except OtaError as error:
        if error.code != "package-known":  # nobody asked for it
            remember(device, {**answer, "error": error.to_json()})
        raise
    finally:
        answer |= to_json(cost, meter.read())
    if not dry_run:
        remember(device, answer)
    return update


def open_source(name: str, device: Device, chosen: Selection | None) -> Reader:
    """A package: by path, by URL, `-` for what comes through a pipe, or the best one of a folder."""
    if name == "-":
        return package.Pipe(sys.stdin.buffer)
    if name.startswith(("http://", "https://")):
        return open_file(name, device.network, device.servers)
    path = Path(name)
    return package.open_package(folder.choose(path, device, chosen) if path.is_dir() else path)


def remember(device: Device, answer: Answer) -> None:
    """Keep how a command ended, for `ota status`; that this cannot be done does not change how it ended."""
    text = json.dumps({"at": int(time.time()), **answer})
    try:
        durable.replace(_path(device), text.encode())
    except OtaError as error:
        _log.error("%s", error)


def last(device: Device) -> object:
    """What was remembered."""
    try:
        return json.loads(_path(device).read_bytes())
    except (OSError, ValueError):
        return None


def _path(device: Device) -> Path:
    return device.config.state_dir / "last.json"
