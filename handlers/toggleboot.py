"""`toggleboot`: one primary partition of a DOS table gets the boot flag, the others lose it.

Properties (swupdate: doc/source/handlers.rst, "Toggleboot Handler"): `partition`, from 1 to 4. It is done
when everything was installed, by one sector; where the update fails after that, the flags become what they
were.
"""

from __future__ import annotations

from ota.device import Device
from ota.errors import DeviceError, UpdateError
from ota.formats.partition_table import DOS, Table
from ota.formats.selection import Description, Entry
from ota.io import disks, partitions
from ota.job import Job, Payload


def toggleboot(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    word = entry.property("partition")
    if word not in ("1", "2", "3", "4") or not entry.device:
        raise UpdateError(
            "description-content",
            f"{entry.label}: device and partition",
            expected="a disk, and a number from 1 to 4",
            found=word,
        )
    disk, number = device.find(entry.device).path, int(word)
    table = partitions.require(disk, DOS)
    if number not in {partition.number for partition in table.partitions}:
        raise DeviceError("partition-missing", f"there is no partition {number} on {disk}")
    replaced: list[Table] = []

    def switch() -> None:
        table = partitions.require(disk, DOS)
        replaced.append(table)
        partitions.activate(disk, table, [number])

    def failed() -> None:
        for table in replaced:
            flagged = [partition.number for partition in table.partitions if partition.bootable]
            partitions.activate(disk, table, flagged)

    return Job(check=lambda: disks.check_writable(disk), switch=switch, failed=failed)
