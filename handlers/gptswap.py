"""`gptswap`: partitions of the GPT on `device` swap their names, all at once, when everything was installed.

Properties (swupdate: doc/source/handlers.rst, "gpt partition swap"): `swap-0`, `swap-1` and so on, two names
each, swapped in this order. Where the update fails after that, they get their old names back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ota.device import Device
from ota.errors import DeviceError, UpdateError
from ota.formats.partition_table import DOS, GPT, Table
from ota.formats.selection import Description, Entry
from ota.io import disks, partitions
from ota.job import Job, Payload


def gptswap(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    pairs = _pairs(entry)
    if not entry.device:
        raise UpdateError("description-content", f"{entry.label}: a device is missing")
    disk = device.find(entry.device).path
    lock = not entry.flag("nolock")
    _swapped(partitions.require(disk, GPT), pairs)
    _refuse_hybrid(partitions.read(disk, nested=True), str(disk))
    replaced: list[Table] = []

    def switch() -> None:
        table = partitions.require(disk, GPT)
        replaced.append(table)
        partitions.write(disk, _swapped(table, pairs), lock=lock)

    def failed() -> None:
        for table in replaced:
            partitions.write(disk, table, lock=lock)

    return Job(check=lambda: disks.check_writable(disk), switch=switch, failed=failed)


def _pairs(entry: Entry) -> list[tuple[str, ...]]:
    names = [name for name in entry.properties if re.match("swap-", name)]
    pairs = [entry.properties.get(f"swap-{number}", ()) for number in range(len(names))]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise UpdateError(
            "description-content",
            f"{entry.label}: properties",
            expected="swap-0, swap-1 and so on, two names each",
            found=", ".join(names),
        )
    return pairs


def _swapped(table: Table, pairs: Sequence[tuple[str, ...]]) -> Table:
    for names in pairs:
        first, second = (table.named(name) for name in names)
        new_names = {first.number: second.name, second.number: first.name}
        table = replace(
            table,
            partitions=tuple(
                replace(partition, name=new_names.get(partition.number, partition.name))
                for partition in table.partitions
            ),
        )
    return table


def _refuse_hybrid(beside: Table | None, disk: str) -> None:
    """A new GPT has a DOS table beside it that names only itself: what boots from the old one would not."""
    if beside and beside.label == DOS and len(beside.partitions) > 1:
        raise DeviceError(
            "partition-table",
            f"{disk} has a hybrid partition table, which cannot be changed at once",
            expected="a GPT alone",
        )
