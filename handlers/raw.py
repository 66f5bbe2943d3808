"""`raw`: the payload is the image itself, perhaps compressed; it is written as it comes.

Properties of ours, which SWUpdate ignores: `image-size` and `image-sha256` of the plain image.
"""

from __future__ import annotations

from ota.device import Device
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost
from ota.io import emmc
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

    def check() -> None:
        prove_start(entry, payload, device)
        with emmc.unlocked(place.path):
            Target(place.path, writable=True).close()

    def run() -> Cost:
        plain_blocks = blocks(plain(entry, payload, device))
        with emmc.unlocked(place.path):
            return device.write_image(place, entry.offset, plain_blocks, image, description.version)

    stop = None if image.size is None else entry.offset + image.size
    writes = (Span(place.path, entry.offset, stop),)
    return Job(Cost(written_bytes=size, verified_bytes=size), check, run, writes=writes)
