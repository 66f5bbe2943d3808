"""`diskformat`: a file system is made on `device`, where there is none of that kind yet.

Properties (swupdate: doc/source/handlers.rst, "Diskformat Handler"): `fstype`; `fslabel`; `force` = "true"
makes it anew.
"""

from __future__ import annotations

from ota.device import Device
from ota.errors import DeviceError, UpdateError
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost
from ota.io import disks, filesystems
from ota.io.target import Target
from ota.job import Job, Payload


def diskformat(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    kind = entry.property("fstype")
    if kind is None:
        raise UpdateError("description-content", f"{entry.label}: property fstype is missing")
    wanted = filesystems.described(kind, entry.property("fslabel"), entry.label)
    force = entry.flag("force")
    place = device.find(str(entry.device))
    Target(place.path).close()
    if not force and filesystems.is_there(wanted, filesystems.find(place.path)):
        return Job()
    place = device.writable(entry.device)
    if used := disks.in_use(place.path, [device.path(device.config.running)]):
        what = next(iter(used.values())).what
        raise DeviceError("partition-in-use", f"{place.path} would be formatted", found=f"in use by {what}")

    def check() -> None:
        filesystems.require(wanted)
        Target(place.path, writable=True).close()

    def run() -> Cost:
        if place.slot:
            device.manifests.forget(place.slot.name)
        filesystems.make(place.path, wanted, force=force)
        return Cost()

    return Job(check=check, run=run, changes=(place.path,))
