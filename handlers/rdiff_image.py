"""`rdiff_image`: the payload is a librsync delta from one known base to the new image.

Properties: `rdiffbase`, the device that holds the base (swupdate: doc/source/handlers.rst, "Rdiff").
Ours, which SWUpdate ignores: `base-size`, `base-sha256`, `image-size`, `image-sha256`. With them the base
is proved before the first write and the result on read-back; a delta itself detects next to nothing.
"""

from __future__ import annotations

from dataclasses import replace

from ota.device import Device, Place
from ota.errors import UpdateError
from ota.formats import rdiff
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost, Reader
from ota.io.target import Target, same_file
from ota.job import Job, Payload, Span, plain
from ota.native import rsync
from ota.sync import patching, stream
from ota.sync.stream import Image


def rdiff_image(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    place = device.writable(entry.device)
    base = _base(entry, device, place)
    image = stream.described(entry)
    expected = patching.base(entry)
    with Target(place.path) as target:
        image.check_fits(target, 0, str(place.path))
    base_size = patching.measure(base.path, expected)
    size = image.size or 0

    def check() -> None:
        _foretell(plain(entry, payload, device), base_size, image, place)
        Target(place.path, writable=True).close()
        patching.warn_unproved(entry, expected, image)
        patching.prove(base.path, base_size, expected, device.progress)

    def run() -> Cost:
        with Target(base.path) as source:
            patched = rsync.patch(source.fileno(), base_size, plain(entry, payload, device))
            cost = device.write_image(place, 0, patched, image, description.version)
        return replace(cost, patched_bytes=cost.written_bytes)

    cost = Cost(patched_bytes=size, written_bytes=size, verified_bytes=size)
    return Job(cost, check, run, writes=(Span(place.path),))


def _foretell(delta: Reader, base_size: int, image: Image, place: Place) -> None:
    """Refuse a delta that is visibly damaged, or makes something else or more than there is room for."""
    with Target(place.path) as target:
        size = rdiff.result_size(delta, base_size, target.size)
        Image(size, None).check_fits(target, 0, str(place.path))
    if image.size not in (None, size):
        raise UpdateError("result-mismatch", "the rdiff delta's result", expected=image.size, found=size)


def _base(entry: Entry, device: Device, place: Place) -> Place:
    name = entry.property("rdiffbase")
    if name is None:
        raise UpdateError("description-content", f"{entry.filename}: property rdiffbase is missing")
    base = device.find(name)
    if same_file(base.path, place.path):
        raise UpdateError("delta-base", f"{name} is base and target at once")
    return base
