"""`dummy`: the payload is read to its end, which proves it, and nothing is done with it."""

from __future__ import annotations

from ota.device import Device
from ota.formats.selection import Description, Entry
from ota.io.readers import blocks
from ota.job import Job, Payload, plain


def dummy(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""

    def check() -> None:
        if entry.filename:
            for _ in blocks(plain(entry, payload, device)):
                pass

    return Job(check=check)
