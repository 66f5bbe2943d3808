"""The transaction: the one place that orders its steps.

Everything that can be refused is refused before the first write (`decide`, then every job's `check`).
The commit point is one atomic write of the boot environment, after every image was read back and proved.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from ota.boot.state import UpdateState, changes
from ota.device import Device
from ota.errors import OtaError, UpdateError
from ota.formats import selection as selecting
from ota.formats.description import Tree
from ota.formats.selection import Description, Entry, Selection
from ota.interfaces import Bootloader, Cost
from ota.job import Handler, Job, Payload
from ota.package import Package

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Update:
    """A package that may be installed here, and what that will take."""

    description: Description
    signer: str
    jobs: tuple[Job, ...]
    cost: Cost
    memory: int  # bytes that the hungriest job takes, about, beside what is in use now
    running: Mapping[str, str]  # variables that make the boot loader start the slot that runs now


def decide(
    package: Package,
    device: Device,
    handlers: Mapping[str, Handler],
    chosen: Selection | None,
    max_download: int | None,
) -> Update:
    """Prove the package, select what is for this device, and plan it; nothing is written.

    Args:
        chosen: software set and mode; default: the board's set, and the mode of the slot that does not run.
        max_download: bytes of payload that may come over the network; None: any.

    Raises:
        OtaError: the first reason why it cannot be installed.
    """
    signed = package.read_description(device.config.trust)
    description = _select(signed.tree, device, chosen)
    selecting.check_hardware(description, device.board.name, device.config.revision)
    if description.vars:
        _log.warning("vars of the sw-description are not kept: %s", ", ".join(description.vars))
    for entry in description.entries:
        _check_type(entry, handlers)
    targets = (device.find(entry.device).path for entry in description.entries if entry.device)
    device = replace(device, targets=tuple(targets))
    payloads = package.stage(description.entries, device.progress)
    jobs = tuple(_decide(entry, payloads, handlers, device, description) for entry in description.entries)
    cost = reduce(add, (job.cost for job in jobs), Cost())
    if max_download is not None and cost.fetched_bytes > max_download:
        raise UpdateError(
            "over-budget",
            "the update's download",
            expected=f"<= {max_download} bytes",
            found=cost.fetched_bytes,
        )
    memory = max(job.memory for job in jobs)
    return Update(description, signed.signer, jobs, cost, memory, device.config.running.bootenv)


def install(update: Update, bootloader: Bootloader) -> Cost:
    """Carry out what was decided.

    Returns:
        What it took.

    Raises:
        OtaError: before the first write nothing was changed; afterwards the boot environment says
            that the update failed, and the running slot is as it was.
    """
    with ExitStack() as closing:
        for job in update.jobs:
            closing.callback(job.close)
            job.check()
        _begin(bootloader, update)
        try:
            cost = reduce(add, (job.run() for job in update.jobs), Cost())
            _commit(bootloader, update)
        except BaseException:
            _say_failed(bootloader, update)
            raise
        return cost


def _select(tree: Tree, device: Device, chosen: Selection | None) -> Description:
    target = device.board.other(device.config.running)
    selection = chosen or Selection(device.board.software_set, target.mode)
    description = selecting.select(tree, device.board.name, selection, required=chosen is not None)
    if not description.entries:
        raise UpdateError(
            "selection-missing",
            f"the sw-description has nothing to install for {selection}",
            found=", ".join(selecting.selections(tree)) or "no selection",
        )
    return description


def _check_type(entry: Entry, handlers: Mapping[str, Handler]) -> None:
    if entry.type not in handlers:
        raise UpdateError(
            "description-type",
            f"{entry.section} {entry.filename or entry.name}: its type has no handler",
            expected=", ".join(sorted(handlers)),
            found=entry.type,
        )
    if entry.filename is None:
        raise UpdateError("description-content", f"an entry of type {entry.type} has no filename")
    if entry.install_if_different or entry.install_if_higher:
        _log.warning("%s is installed whatever version is there", entry.filename)


def _decide(
    entry: Entry,
    payloads: Mapping[str, Payload],
    handlers: Mapping[str, Handler],
    device: Device,
    description: Description,
) -> Job:
    assert entry.filename is not None
    payload = payloads[entry.filename]
    if entry.size and entry.size != payload.size:  # swupdate: core/installer.c, check_if_required
        raise UpdateError(
            "member-size", f"{entry.filename}: length", expected=f"{entry.size} bytes", found=payload.size
        )
    return handlers[entry.type](entry, payload, device, description.version)


def _begin(bootloader: Bootloader, update: Update) -> None:
    """Switch back, too, where an earlier update had switched to what is about to be overwritten."""
    bootloader.apply({**update.running, **_changes(update, UpdateState.IN_PROGRESS)})


def _commit(bootloader: Bootloader, update: Update) -> None:
    """The slot switch and the end of the transaction are one write."""
    bootenv = {name: value or None for name, value in update.description.bootenv.items()}
    bootloader.apply({**bootenv, **_changes(update, UpdateState.INSTALLED)})


def _say_failed(bootloader: Bootloader, update: Update) -> None:
    try:
        bootloader.apply(_changes(update, UpdateState.FAILED))
    except OtaError as error:
        # The first error is the one to report; the environment still says "in progress".
        _log.error("%s", error)


def _changes(update: Update, state: UpdateState) -> dict[str, str | None]:
    return changes(
        state,
        transaction_marker=update.description.transaction_marker,
        state_marker=update.description.state_marker,
    )
