"""`readback`: when everything was installed, a device's bytes are read and compared with a digest.

Properties (swupdate: doc/source/handlers.rst, "Readback Handler"): `sha256`; `size` in bytes, up to the end
where it is 0 or missing; `offset` in bytes. Bytes are read from the medium, not from the page cache.
"""

from __future__ import annotations

import hashlib

from ota.device import Device
from ota.errors import DeviceError, UpdateError
from ota.formats.selection import Description, Entry
from ota.interfaces import Event
from ota.io.target import Target
from ota.job import Job, Payload
from ota.sync import stream


def readback(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    expected = (entry.property("sha256") or "").lower()
    if not stream.is_digest(expected) or not entry.device:
        raise UpdateError(
            "description-content", f"{entry.label}: device and sha256", expected="both", found=expected
        )
    start = stream.number(entry, "offset") or 0
    path = device.find(entry.device).path
    with Target(path) as target:
        stop = start + (stream.number(entry, "size") or target.size - start)
        if not start < stop <= target.size:
            raise DeviceError(
                "slot-size", f"{path} is too small", expected=f"bytes {start} to {stop}", found=target.size
            )

    def after() -> None:
        found = hashlib.sha256()
        done = 0
        with Target(path) as target:
            for block in target.scan(start, stop):
                found.update(block)
                done += len(block)
                device.progress(Event("readback", done, stop - start))
        if found.hexdigest() != expected:
            raise UpdateError(
                "result-mismatch",
                f"{path}, bytes {start} to {stop}, is not what is described",
                expected=expected,
                found=found.hexdigest(),
            )

    return Job(after=after)
