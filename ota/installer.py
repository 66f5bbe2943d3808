"""The transaction: the one place that orders its steps.

Everything that can be refused is refused before the first write: by `decision`, then by every job's `check`.
The commit point is one atomic write of the boot environment, after every image was read back and proved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial, reduce
from operator import add
from typing import Final

from ota import commands
from ota import record as records
from ota.boot import state
from ota.boot.table import Event
from ota.decision import Update
from ota.errors import OtaError
from ota.formats import versions
from ota.interfaces import Bootloader, Cost
from ota.io import durable
from ota.record import Outcome, Release

ROOM: Final = 256 << 10  # bytes in the state folder: manifests and notes of one update

_log = logging.getLogger(__name__)


def install(update: Update, bootloader: Bootloader) -> Cost:
    """Carry out what was decided: scripts before, partitions, images, files, scripts after, vars, the switch.

    Returns:
        What it took.

    Raises:
        OtaError: before the first write nothing was changed; afterwards the boot environment says
            that the update failed, and the running slot is as it was.
    """
    durable.check_room(update.state_dir, ROOM)
    begin = _at(Event.BEGIN, update, bootloader)
    with ExitStack() as closing:
        for job in update.jobs:
            closing.callback(job.close)
            job.check()
        bootloader.apply(begin)
        try:
            for job in update.jobs:
                job.before()
            cost = reduce(add, (job.run() for job in update.jobs), Cost())
            for job in update.jobs:
                job.after()
            for job in update.jobs:
                job.switch()
            _commit(bootloader, update)
        except BaseException:
            _say_failed(bootloader, update)
            raise
        _record_versions(update)
    commands.run_after(update.commands)
    return cost


def _commit(bootloader: Bootloader, update: Update) -> None:
    """The slot switch and the end of the transaction are one write; which slot, the package says."""
    bootenv: dict[str, str | None] = {
        name: value or None for name, value in update.description.bootenv.items()
    }
    for job in update.jobs:
        bootenv = {**bootenv, **job.bootenv} if job.overrides else {**job.bootenv, **bootenv}
    said = _at(Event.COMMIT, update, bootloader)
    own = {name for slot in update.board.slots for name in slot.bootenv}
    changes = {**bootenv, **{name: value for name, value in said.items() if name not in own}}
    slot = state.named(update.board, {**bootloader.read(), **changes}) or update.running
    release = Release(update.description.version, update.package)
    record = records.begun(update.state_dir, release, slot.name, update.running.name)
    records.write(update.state_dir, record)
    try:
        bootloader.apply(changes)
    except OtaError as error:
        with suppress(OtaError):  # the first error is the one to report
            records.write(update.state_dir, record.ended(Outcome.FAILED, error.code))
        raise


def _record_versions(update: Update) -> None:
    """Say what is installed now. The switch is made: where this fails, the update stands all the same."""
    try:
        if update.record:
            durable.replace(update.record, versions.render_installed(dict(update.versions)))
    except OtaError as error:
        _log.error("%s", error)


def _say_failed(bootloader: Bootloader, update: Update) -> None:
    """The first error is the one to report: what fails here is only logged."""
    steps: list[Callable[[], None]] = [partial(_mark_failed, bootloader, update)]
    steps += [job.failed for job in update.jobs]
    for step in steps:
        try:
            step()
        except OtaError as error:
            _log.error("%s", error)


def _mark_failed(bootloader: Bootloader, update: Update) -> None:
    # Where this fails too, the environment still says "in progress". A script may have switched.
    bootloader.apply(_at(Event.FAIL, update, bootloader))


def _at(event: Event, update: Update, bootloader: Bootloader) -> dict[str, str | None]:
    """What the table stores, but for the markers that the package does not want."""
    situation = state.read(bootloader, update.board, update.running)
    return state.marked(
        state.step(situation, event).changes,
        transaction_marker=update.description.transaction_marker,
        state_marker=update.description.state_marker,
    )
