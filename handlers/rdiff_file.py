"""`rdiff_file`: the payload is a librsync delta from the file at `path`, which the new one replaces.

Attributes and properties as of `rawfile`, but for `atomic-install` (swupdate: doc/source/handlers.rst,
"Rdiff"). Ours, which SWUpdate ignores: `base-size`, `base-sha256`, `image-size`, `image-sha256`, as of
`rdiff_image`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from ota import files, filesystem
from ota.device import Device
from ota.errors import DeviceError
from ota.formats import rdiff
from ota.formats.selection import Description, Entry
from ota.interfaces import Cost
from ota.io.target import Target
from ota.job import Job, Payload, plain
from ota.native import rsync
from ota.sync import patching, stream

MAX_FILE: Final = 1 << 40  # bytes; what a delta that makes more is, nobody needs to know


def rdiff_file(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    location = replace(filesystem.locate(entry, device, description), follows=True)
    image = stream.described(entry)
    expected = patching.base(entry)

    def find(root: Path) -> tuple[Path, int]:
        path = filesystem.find_file(root, location, image.size)
        if not path.exists():
            raise DeviceError("path-unusable", f"{path}, the base of an rdiff delta, does not exist")
        size = patching.measure(path, expected)
        patching.prove(path, size, expected, device.progress)
        return path, size

    def check() -> None:
        patching.warn_unproved(entry, expected, image)
        if not location.may_change:
            with filesystem.opened(location, readonly=True) as root:
                path, size = find(root)
                result = rdiff.result_size(plain(entry, payload, device), size, MAX_FILE)
                files.check(path, result, creates=location.creates)

    def run() -> Cost:
        with filesystem.opened(location) as root:
            path, size = find(root)
            with closing(patched(path, size)) as content:  # lets go of the base before it is unmounted
                written = files.replace(path, content, image, device.progress)
        return Cost(patched_bytes=written, written_bytes=written, verified_bytes=written)

    def patched(base: Path, size: int) -> Generator[bytes, None, None]:
        with Target(base) as source:
            yield from rsync.patch(source.fileno(), size, plain(entry, payload, device))

    size = image.size or 0
    cost = Cost(patched_bytes=size, written_bytes=size, verified_bytes=size)
    return Job(cost, check, run, writes=(location.span,))
