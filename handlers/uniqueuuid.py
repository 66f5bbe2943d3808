"""`uniqueuuid`: nothing is installed where a file system of this device has one of these UUIDs already.

Properties (swupdate: doc/source/handlers.rst, "Unique UUID Handler"): `fs-uuid`, one or several.
"""

from __future__ import annotations

import re

from ota.device import Device
from ota.errors import DeviceError, UpdateError
from ota.formats.selection import Description, Entry
from ota.io import filesystems
from ota.job import Job, Payload


def uniqueuuid(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    uuids = entry.properties.get("fs-uuid", ())
    if not uuids or not all(re.fullmatch("[0-9A-Za-z-]{1,64}", uuid) for uuid in uuids):
        raise UpdateError(
            "description-content", f"{entry.label}: fs-uuid", expected="UUIDs", found=", ".join(uuids)
        )
    for uuid in uuids:
        if found := filesystems.with_uuid(uuid):
            raise DeviceError(
                "uuid-taken", f"a file system has the UUID {uuid} already", found=", ".join(found)
            )
    return Job()
