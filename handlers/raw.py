"""`raw`: the payload is the image itself, perhaps compressed; it is written as it comes.

Properties of ours, which SWUpdate ignores: `image-size` and `image-sha256` of the plain image.
"""

from __future__ import annotations

from ota.device import Device
from ota.formats.selection import Entry
from ota.interfaces import Cost
from ota.io.readers import blocks
from ota.io.target import Target
from ota.job import Job, Payload, plain
from ota.sync import stream
from ota.sync.stream import Image


def raw(entry: Entry, payload: Payload, device: Device, version: str) -> Job:
    """See `ota.job.Handler`."""
    place = device.writable(entry.device)
    image = _described(entry, payload)
    with Target(place.path) as target:
        image.check_fits(target, entry.offset, str(place.path))
    size = image.size or 0

    def check() -> None:
        Target(place.path, writable=True).close()

    def run() -> Cost:
        return device.write_image(place, entry.offset, blocks(plain(entry, payload, device)), image, version)

    return Job(Cost(written_bytes=size, verified_bytes=size), check, run)


def _described(entry: Entry, payload: Payload) -> Image:
    if entry.compressed is None:
        return Image(payload.size, entry.sha256)
    return stream.described(entry)
