"""A disk's partition table: read, foreseen and written by sfdisk(8) of util-linux.

A table is written as a whole, with the place of every partition spelled out, and read back. Of a GPT sfdisk
writes the backup first and then the primary one, each of them its entries before its header: at any moment
one of both is valid.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ota.errors import DeviceError
from ota.formats import partition_table
from ota.formats.partition_table import DOS, GPT, Partition, Table, Wish
from ota.io import disks, program
from ota.io.program import Ended

_GRAIN: Final = 1 << 20  # bytes; libfdisk aligns to this, or to what the disk prefers where that is more
_NO_TABLE: Final = "does not contain a recognized partition table"


def read(disk: Path, *, nested: bool = False) -> Table | None:
    """The table of a disk, None where it has none.

    Args:
        nested: the DOS table that lies beside a GPT.

    Raises:
        DeviceError: "partition-table".
        ConfigError: "tool-missing".
    """
    ended = _sfdisk(disk, "--json", nested=nested)
    if ended.status != 0 and _NO_TABLE in ended.output:
        return None
    try:
        return partition_table.parse(ended.output)
    except ValueError as error:
        raise DeviceError(
            "partition-table", f"the partition table of {disk} cannot be read", found=str(ended)
        ) from error


def require(disk: Path, label: str) -> Table:
    """The table of a disk that must be of this kind.

    Raises:
        DeviceError: "partition-table".
        ConfigError: "tool-missing".
    """
    table = read(disk)
    if table is None or table.label != label:
        found = table.label if table else "none"
        raise DeviceError("partition-table", f"the table of {disk}", expected=label, found=found)
    return table


def foresee(disk: Path, label: str, wishes: Sequence[Wish], old: Table | None) -> Table:
    """The table that a disk would have; nothing is written.

    What the old table of the same kind says of itself stays, and so do UUIDs that nothing else is said of.

    Raises:
        DeviceError: "partition-table": it is not valid, or does not fit.
        ConfigError: "tool-missing".
    """
    stays = old if old and old.label == label else None
    headers = stays.headers if stays else {}
    uuids = {partition.number: partition.uuid for partition in stays.partitions} if stays else {}
    geometry = disks.geometry(disk)
    script = partition_table.render_wishes(label, wishes, geometry.sector, headers)
    ended = _sfdisk(disk, "--no-act", "--output", "device,start,sectors", feed=script)
    places = partition_table.parse_places(ended.output)
    if ended.status != 0 or places.keys() != {wish.number for wish in wishes}:
        said = ended.output.partition("\nLeaving.")[0].splitlines()
        raise DeviceError(
            "partition-table", f"{disk} cannot be partitioned as described", found=" ".join(said[-2:])
        )
    partitions = []
    for wish in wishes:
        start, size = places[wish.number]
        _refuse_cut(disk, wish, size * geometry.sector, max(_GRAIN, geometry.preferred))
        uuid = wish.uuid or uuids.get(wish.number, "") if label == GPT else ""
        partitions.append(
            Partition(wish.number, start, size, wish.type, name=wish.name, uuid=uuid, bootable=wish.bootable)
        )
    return Table(label, tuple(partitions), geometry.sector, headers)


def write(disk: Path, table: Table, *, nested: bool = False, lock: bool = True) -> None:
    """Replace a disk's table, and read it back. The kernel is not told: see `disks.tell`.

    Args:
        nested: the DOS table that lies beside a GPT.
        lock: wait for others that hold the disk's lock (flock(2)), as udev does while it looks at it.

    Raises:
        DeviceError: "partition-table".
    """
    # Signatures elsewhere on the disk are left alone, as SWUpdate leaves them.
    options = ("--wipe", "never", "--wipe-partitions", "never", f"--lock={'yes' if lock else 'no'}")
    _change(disk, *options, nested=nested, feed=partition_table.render(table))
    _prove(disk, table, nested=nested)


def activate(disk: Path, table: Table, numbers: Sequence[int]) -> None:
    """Give the boot flag of a DOS table to these partitions and no others: one sector is written.

    Raises:
        DeviceError: "partition-table".
    """
    _change(disk, "--activate", after=[str(number) for number in numbers] or ["-"])
    flagged = (replace(old, bootable=old.number in numbers) for old in table.partitions)
    _prove(disk, replace(table, partitions=tuple(flagged)))


def _refuse_cut(disk: Path, wish: Wish, size: int, grain: int) -> None:
    """libfdisk makes a partition smaller where there is no room; by less than a grain it aligns it."""
    if size < max(1, (wish.size or 0) - grain + 1):
        raise DeviceError(
            "partition-table",
            f"partition {wish.number} does not fit {disk}",
            expected=f"{wish.size or 'some'} bytes",
            found=f"room for {size}",
        )


def _prove(disk: Path, table: Table, *, nested: bool = False) -> None:
    found = read(disk, nested=nested)
    if not partition_table.same(found, table):
        raise DeviceError(
            "partition-table", f"{disk} does not keep the table that is written", expected=table, found=found
        )


def _change(
    disk: Path, *options: str, nested: bool = False, feed: str = "", after: Sequence[str] = ()
) -> None:
    # Whether the disk is in use was looked at, more closely than sfdisk would.
    options = ("--quiet", "--no-reread", "--no-tell-kernel", *options)
    ended = _sfdisk(disk, *options, nested=nested, feed=feed, after=after)
    if ended.status != 0:
        raise DeviceError("partition-table", f"the table of {disk} cannot be written", found=str(ended))


def _sfdisk(
    disk: Path, *options: str, nested: bool = False, feed: str = "", after: Sequence[str] = ()
) -> Ended:
    beside = ["--label-nested", DOS] if nested else []
    return program.run(
        # By its true name: partitions are named after it.
        ["sfdisk", *beside, *options, disk.resolve(), *after],
        timeout_s=program.TIMEOUT_S,
        feed=[feed.encode()] if feed else [],
        environment={**os.environ, "LC_ALL": "C"},
    )
