"""`gptpart`: an image for the partition of the GPT on `device` that has the name `volume`.

swupdate: doc/source/handlers.rst, "gpt partition installer".
"""

from __future__ import annotations

from dataclasses import replace

from ota.device import Device
from ota.errors import UpdateError
from ota.formats.partition_table import GPT
from ota.formats.selection import Description, Entry
from ota.io import disks, partitions
from ota.job import Handler, Job, Payload


def gptpart(write: Handler) -> Handler:
    """What `write` does with a device, done with a partition that is named."""

    def handler(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
        if not entry.device or not entry.volume:
            raise UpdateError(
                "description-content", f"{entry.label} has no device or no volume", expected="both"
            )
        disk = device.find(entry.device).path
        partition = partitions.require(disk, GPT).named(entry.volume)
        node = disks.node(disk, partition.number)
        return write(replace(entry, device=str(node)), payload, device, description)

    return handler
