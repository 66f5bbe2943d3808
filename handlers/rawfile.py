"""`rawfile`: the payload is a file, perhaps compressed; it replaces the one at `path`.

Attributes: `path`, and `device` with `filesystem` where it lies on one that is not mounted. Properties
(swupdate: doc/source/sw-description.rst, "Files"): `create-destination`; `atomic-install`, which here says
only that a link at the end of `path` is replaced instead of followed. Ours, which SWUpdate ignores:
`image-size` and `image-sha256` of the plain file.
"""

from __future__ import annotations

from functools import partial

from ota import files, filesystem
from ota.device import Device
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost
from ota.io.readers import blocks
from ota.job import Job, Payload, plain
from ota.sync import stream


def rawfile(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    location = filesystem.locate(entry, device, description)
    image = stream.contained(entry, payload.size)

    def run() -> Cost:
        with filesystem.opened_file(location, image.size) as path:
            content = blocks(plain(entry, payload, device))
            written = files.replace(path, content, image, device.progress)
        return Cost(written_bytes=written, verified_bytes=written)

    size = image.size or 0
    cost = Cost(written_bytes=size, verified_bytes=size)
    return Job(cost, partial(filesystem.check_file, location, image.size), run, writes=(location.span,))
