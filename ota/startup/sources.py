"""Where a device looks for a package at boot, and which one is new to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from ota import decision, installation
from ota import record as records
from ota.acceptance import Known
from ota.config import USB
from ota.decision import Update
from ota.device import Device
from ota.errors import OtaError, UpdateError
from ota.installation import Answer
from ota.interfaces import Bootloader
from ota.io import filesystems, mount, usb
from ota.job import Row
from ota.package import Package
from ota.record import Outcome
from ota.startup import clock

_NOTHING: Final = ("package-known", "folder-empty")  # no fault of anybody's

_log = logging.getLogger(__name__)


def install_first(
    device: Device,
    bootloader: Bootloader,
    handlers: Mapping[str, Row],
    answer: Answer,
    complain: Callable[[OtaError], None],
) -> Update | None:
    """Install the first package that is for this device and new to it; None where there is none.

    Args:
        answer: of the installation.
        complain: is told of every source that fails; then the next one is asked.
    """
    least = clock.floor(records.read(device.config.state_dir))
    device = _only_new(device)
    for name, place in _places(device, least):
        _log.info("%s is looked at", name)
        try:
            with place as opened:
                stream = installation.open_source(opened, device, None)
                with closing(Package(stream, device.config.state_dir)) as package:
                    decide = partial(decision.decide, package, device, handlers, None, None)
                    return installation.install(device, bootloader, decide, answer)
        except OtaError as error:
            if error.code in _NOTHING:
                _log.info("%s", error)
            else:
                complain(error)
    return None


def _places(device: Device, least: int) -> Iterator[tuple[str, AbstractContextManager[str]]]:
    """Name, and what is to be opened, once it can be."""
    for source in device.config.packages:
        if source == USB:
            for partition in usb.partitions():
                yield str(partition), _plugged_in(partition, device, least)
        else:
            yield source, _reachable(source, device, least)


@contextmanager
def _reachable(source: str, device: Device, least: int) -> Iterator[str]:
    is_server = source.startswith("https://")
    if not is_server and not Path(source).is_dir():
        raise UpdateError("folder-empty", f"{source} is not there")
    if is_server or _needs_clock(device):
        clock.check(least)
    yield source


@contextmanager
def _plugged_in(partition: Path, device: Device, least: int) -> Iterator[str]:
    """The root folder of a file system that is plugged in."""
    if _needs_clock(device):
        clock.check(least)
    found = filesystems.find(partition)
    if found is None:
        raise UpdateError("folder-empty", f"{partition} has no file system")
    with mount.mounted(partition, found.kind, device.config.state_dir / "usb", readonly=True) as root:
        yield str(root)


def _needs_clock(device: Device) -> bool:
    """Whether packages are proved by certificates alone."""
    return not device.config.trust.public_keys


def _only_new(device: Device) -> Device:
    """The device, taking only what is new to it."""
    record = records.read(device.config.state_dir)
    packages, versions = {}, {}
    for release in record.refused if record else ():
        if release.package:
            packages[release.package] = "it did not stay when it was tried"
        elif release.version:
            versions[release.version] = "it did not stay when it was tried"
    running = device.config.running.name
    version = None
    if record and record.release.package and record.outcome is Outcome.PENDING:
        packages[record.release.package] = "it is installed, and the restart is due"
    elif record and record.slot == running and record.outcome is Outcome.CONFIRMED:
        version = record.release.version
        if record.release.package:
            packages[record.release.package] = "it runs"
    held = device.manifests.record(running)
    known = Known(packages, versions, version or (held.version if held else None))
    return replace(
        device,
        config=replace(device.config, acceptance=replace(device.config.acceptance, known=known)),
    )
