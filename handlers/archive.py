"""`archive` and `tar`: the payload is a tar, cpio or zip archive; it is unpacked into the folder `path`.

The archive may be compressed inside (.tar.gz, .tar.xz, ...), besides the entry's own `compressed`.
Attributes: `path`, `device` with `filesystem` as of `rawfile`, `preserve-attributes`. Property (swupdate:
doc/source/handlers.rst, "Archive handler"): `create-destination`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ota import files, filesystem
from ota.device import Device
from ota.filesystem import Location
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost, Reader
from ota.io import inside, mount, unpack
from ota.io.readers import unwrapped
from ota.job import Job, Payload, plain

MEMORY: Final = 8 << 20  # bytes, about: what was read, what is in the pipe, libarchive's buffers


def archive(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    location = filesystem.locate(entry, device, description)
    seen: list[unpack.Contents] = []

    def source() -> Reader:
        return unwrapped(plain(entry, payload, device), device.config.memory, str(entry.filename))

    def find(root: Path) -> unpack.Destination:
        folder = filesystem.resolve(root, location)
        files.check_folder(folder, creates=location.creates)
        return unpack.Destination(root, folder, preserves=entry.preserve_attributes)

    def check() -> None:
        if location.may_change:
            nowhere = unpack.Destination(
                Path("/"), _as_written(location), preserves=entry.preserve_attributes
            )
            size = filesystem.capacity(location)
            seen.append(unpack.look(source(), nowhere, unpack.Room(size, size, None)))
            return
        with filesystem.opened(location, readonly=True) as root:
            destination = find(root)
            unpack.look(source(), destination, unpack.Room.of(destination.folder))

    def run() -> Cost:
        with filesystem.opened(location) as root:
            destination = find(root)
            room = unpack.Room.of(destination.folder)
            if not all(map(room.holds, seen)):
                unpack.look(source(), destination, room)
            inside.make_folders(destination.folder)
            contents = unpack.unpack(source(), destination, room)
            mount.sync(destination.folder)
        return Cost(written_bytes=contents.data)

    return Job(check=check, run=run, memory=MEMORY)


def _as_written(location: Location) -> Path:
    """The folder, where what is on the way to it is not known yet."""
    return Path("/") / location.path.lstrip("/")
