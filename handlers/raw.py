"""`raw`: the payload is the image itself, perhaps compressed; it is written as it comes.

Properties of ours, which SWUpdate ignores: `image-size` and `image-sha256` of the plain image.
"""

from __future__ import annotations

from ota.device import Device
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost
from ota.io import disks, emmc
from ota.io.readers import blocks
from ota.io.target import Target
from ota.job import Job, Payload, Span, plain, prove_start
from ota.sync import stream


def raw(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    place = device.writable(entry.device)
    image = stream.contained(entry, payload.size)
    with Target(place.path) as target:
        image.check_fits(target, entry.offset, str(place.path))
    size = image.size or 0
    # A boot loader is written beside the partitions of a disk, which the running system has mounted.
    has_partitions = bool(disks.extents(place.path))

    def check() -> None:
        prove_start(entry, payload, device)
        if has_partitions:
            length = _measure(entry, payload, device) if image.size is None else image.size
            disks.check_free(place.path, entry.offset, entry.offset + length)
        with emmc.unlocked(place.path):
            Target(place.path, writable=True, exclusive=not has_partitions).close()

    def run() -> Cost:
        plain_blocks = blocks(plain(entry, payload, device))
        with emmc.unlocked(place.path):
            return device.write_image(
                place,
                entry.offset,
                plain_blocks,
                image,
                description.version,
                exclusive=not has_partitions,
            )

    stop = None if image.size is None else entry.offset + image.size
    writes = (Span(place.path, entry.offset, stop, lambda: _measure(entry, payload, device)),)
    return Job(Cost(written_bytes=size, verified_bytes=size), check, run, writes=writes)


def _measure(entry: Entry, payload: Payload, device: Device) -> int:
    """Bytes of the plain image, of which the package says nothing."""
    return sum(map(len, blocks(plain(entry, payload, device))))
