"""`diskpart`: the disk `device` gets the partitions that the properties say, if it has not got them yet.

Properties: see `ota.layout`. Partitions that they do not name are removed. Where the table is written, every
partition with an `fstype` is formatted, after a power cut by the next try; else those that have no such file
system yet, or `force`.

What is in use is not harmed: without `noinuse` the table of a disk in use is not written; with it, what is in
use keeps its number, its place and its UUID, and does not become smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ota import layout as layouts
from ota.device import Device
from ota.errors import DeviceError
from ota.formats.partition_table import DOS, GPT, Partition, Table, same
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost
from ota.io import disks, durable, filesystems, partitions, program
from ota.io.disks import Extent, Use
from ota.io.target import Target, same_file
from ota.job import Job, Payload
from ota.layout import Layout

# The GPT's own entry of a DOS table beside it: start, size, type, as SWUpdate makes it.
_PROTECTIVE: Final = (1, 33, "ee")
_EXTENDED: Final = ("05", "0f", "85")


def diskpart(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    layout = layouts.parse(entry)
    disk = device.find(str(entry.device)).path
    Target(disk).close()
    old = partitions.read(disk)
    new = partitions.foresee(disk, layout.label, layout.wishes, old)
    differs = not same(old, new)
    beside = _beside(disk, old, new, layout.hybrid)
    unfinished = device.config.state_dir / f"diskpart-{str(disk.resolve()).replace('/', '-')}"
    anew = differs or unfinished.exists()
    used = disks.in_use(disk, [device.path(device.config.running)])
    if differs or beside:
        _refuse_moved(disk, old, new, used, layout)
    _refuse_formatted(disk, anew, layout, used)

    def check() -> None:
        disks.check_writable(disk)
        program.require("partx", disks.PACKAGE)
        for step in layout.formats:
            filesystems.require(step.wanted)

    def run() -> Cost:
        _forget(disk, device, new, layout)
        if anew and layout.formats:
            durable.replace(unfinished, b"")
        if differs:
            partitions.write(disk, new, lock=layout.lock)
        if beside:
            partitions.write(disk, beside, nested=True, lock=layout.lock)
        disks.tell(disk, _extents(new))
        for step in layout.formats:
            node = disks.node(disk, step.number)
            filesystems.make(node, step.wanted, force=anew or step.force)
        durable.remove(unfinished)
        return Cost()

    return Job(check=check, run=run, changes=(disk,) if differs or layout.formats else ())


def _beside(disk: Path, old: Table | None, new: Table, hybrid: Mapping[int, str]) -> Table | None:
    """The DOS table to be written beside a GPT, if any.

    Those with a `dostype` by number, then the GPT's own, as SWUpdate has it. Writing the GPT anew removes it.
    """
    if not hybrid:
        return None
    before = partitions.read(disk, nested=True) if old and old.label == GPT else None
    twins = [partition for partition in new.partitions if partition.number in hybrid]
    entries = [
        Partition(place, twin.start, twin.size, hybrid[twin.number]) for place, twin in enumerate(twins, 1)
    ]
    entries.append(Partition(len(entries) + 1, *_PROTECTIVE))
    headers = before.headers if before else {"label-id": "0x00000000"}
    beside = Table(DOS, tuple(entries), new.sector, headers)
    return None if same(old, new) and same(before, beside) else beside


def _refuse_moved(disk: Path, old: Table | None, new: Table, used: Mapping[int, Use], layout: Layout) -> None:
    """What is in use keeps its number, its start, at least its size, and the UUID that may boot it."""
    uuids, new_uuids = _uuids(old), _uuids(new)
    extents = _extents(new)
    for number, use in sorted(used.items()):
        extent = extents.get(number)
        stays = (
            layout.may_be_in_use
            and old is not None
            and old.label == new.label
            and extent is not None
            and extent.start == use.extent.start
            and extent.size >= use.extent.size
            and new_uuids[number] == uuids.get(number)
        )
        if not stays:
            raise DeviceError(
                "partition-in-use",
                f"{disk} would be partitioned anew, and {_named(number)} is in use by {use.what}",
                expected='noinuse = "true", and the same place and UUID' if number else "a disk out of use",
                found=f"{extent}, noinuse={layout.may_be_in_use}",
            )


def _refuse_formatted(disk: Path, anew: bool, layout: Layout, used: Mapping[int, Use]) -> None:
    for step in layout.formats:
        if step.number not in used:
            continue
        found = filesystems.find(disks.node(disk, step.number))
        if anew or step.force or not filesystems.is_there(step.wanted, found):
            raise DeviceError(
                "partition-in-use",
                f"{_named(step.number)} of {disk} would be formatted",
                found=f"in use by {used[step.number].what}",
            )


def _named(number: int) -> str:
    return f"partition {number}" if number != disks.WHOLE else "the disk itself"


def _forget(disk: Path, device: Device, new: Table, layout: Layout) -> None:
    """Of slots that move or are formatted it is no longer known what they hold."""
    formatted = {step.number for step in layout.formats}
    extents, wanted = disks.extents(disk), _extents(new)
    for number, node in disks.nodes(disk).items():
        if number in formatted or extents[number] != wanted.get(number):
            for slot in device.board.slots:
                if same_file(node, device.path(slot)):
                    device.manifests.forget(slot.name)


def _uuids(table: Table | None) -> dict[int, str]:
    return {partition.number: partition.uuid for partition in table.partitions} if table else {}


def _extents(table: Table) -> dict[int, Extent]:
    def size(partition: Partition) -> int:
        is_extended = table.label == DOS and partition.type in _EXTENDED
        return 0 if is_extended else partition.size * table.sector

    return {
        partition.number: Extent(partition.start * table.sector, size(partition))
        for partition in table.partitions
    }
