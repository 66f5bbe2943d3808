"""`copy` and `rawcopy`: what lies on this device is copied to another place of it, before or after all else.

Properties (swupdate: doc/source/handlers.rst, "Copy handler"): `copyfrom`; `size` ("detect" or 0: all) and
`offset`, the part of it in bytes; `type`, "preinstall" or "postinstall" (without it, both); `chain`, what
would install the same bytes: "raw" (default; attributes `device` and `offset`) or "rawfile" (as there); with
the latter `recursive` and `create-destination`.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ota import files, filesystem
from ota.device import Device, Place
from ota.errors import DeviceError, UpdateError
from ota.formats import attributes
from ota.formats.selection import Description, Entry
from ota.io import inside
from ota.io.target import Target, same_file
from ota.job import Job, Payload, Span
from ota.sync.stream import Image

_WHENS: Final = (None, "preinstall", "postinstall")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Source:
    """What is copied."""

    path: Path
    offset: int  # bytes
    size: int | None  # bytes; None: to its end

    def measure(self) -> int:
        """Bytes that will be copied."""
        with Target(self.path) as source:
            size = source.size - self.offset if self.size is None else self.size
            if size < 0 or self.offset + size > source.size:
                raise DeviceError(
                    "slot-size",
                    f"{self.path} is too short to be copied",
                    expected=f">= {self.offset + max(size, 0)} bytes",
                    found=source.size,
                )
        return size

    def blocks(self, size: int) -> Iterator[bytes]:
        with Target(self.path) as source:
            for block in source.scan(self.offset, self.offset + size):
                yield bytes(block)


def copy(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    source, when, chain = _properties(entry, device)
    if chain == "raw":
        check, run, span = _to_device(entry, device, source)
    elif filesystem.is_set(entry, "recursive"):
        check, run, span = _to_folder(entry, device, description, source.path)
    else:
        check, run, span = _to_file(entry, device, description, source)
    job = Job(writes=(span,))
    if when != "postinstall":
        job = replace(job, check=check, before=run)
    if when != "preinstall":
        job = replace(job, after=run)  # what it finds then is what the installation leaves: checked then
    return job


_Steps = tuple[Callable[[], None], Callable[[], None], Span]
"""What may be refused before, the copying, and what it writes."""


def _properties(entry: Entry, device: Device) -> tuple[_Source, str | None, str]:
    def length(name: str) -> int | None:
        return attributes.length(entry.property(name), f"{entry.label}: property {name}") or None

    when, chain, name = entry.property("type"), entry.property("chain") or "raw", entry.property("copyfrom")
    if when not in _WHENS:
        raise _wrong(entry, "type", "preinstall or postinstall", when)
    if chain not in ("raw", "rawfile"):
        raise _wrong(entry, "chain", "raw or rawfile", chain)
    if chain == "raw" and filesystem.is_set(entry, "recursive"):
        raise _wrong(entry, "chain", "rawfile where the copy is recursive", chain)
    if not name or not name.startswith("/"):
        raise _wrong(entry, "copyfrom", "an absolute path", name)
    size = None if entry.property("size") == "detect" else length("size")
    return _Source(device.find(name).path, length("offset") or 0, size), when, chain


def _to_device(entry: Entry, device: Device, source: _Source) -> _Steps:
    place = device.writable(entry.device)
    if same_file(source.path, place.path):
        raise _wrong(entry, "copyfrom", "another device than the target", str(source.path))

    def check() -> None:
        size = source.measure()
        with Target(place.path, writable=True) as target:
            Image(size, None).check_fits(target, entry.offset, str(place.path))

    def run() -> None:
        check()
        size = source.measure()
        version = _version(device, device.find(str(source.path)))
        device.write_image(place, entry.offset, source.blocks(size), Image(size, None), version)

    stop = None if source.size is None else entry.offset + source.size
    return check, run, Span(place.path, entry.offset, stop)


def _version(device: Device, source: Place) -> str:
    """What a copy of a slot holds."""
    record = device.manifests.record(source.slot.name) if source.slot else None
    return record.version if record else ""


def _to_file(entry: Entry, device: Device, description: Description, source: _Source) -> _Steps:
    location = filesystem.locate(entry, device, description)

    def check() -> None:
        filesystem.check_file(location, source.measure())

    def run() -> None:
        size = source.measure()
        with filesystem.opened_file(location, size) as path:
            files.replace(path, source.blocks(size), Image(size, None), device.progress)

    return check, run, location.span


def _to_folder(entry: Entry, device: Device, description: Description, source: Path) -> _Steps:
    location = filesystem.locate(entry, device, description)

    def look(root: Path) -> Path:
        folder = filesystem.resolve(root, location)
        if folder.is_relative_to(source.resolve()):
            raise _wrong(entry, "path", f"a folder outside of {source}", location.path)
        files.check_folder(folder, creates=location.creates)
        files.check_room(folder, sum(path.stat().st_size for path in _walk(source) if path.is_file()))
        return folder

    def check() -> None:
        if not location.may_change:
            with filesystem.opened(location, readonly=True) as root:
                look(root)

    def run() -> None:
        with filesystem.opened(location) as root:
            inside.make_folders(look(root))
            for path in _walk(source):
                to = f"{location.path}/{path.relative_to(source)}"
                _copy_one(path, filesystem.resolve_file(root, to, follows=location.follows), device)

    return check, run, location.span


def _walk(source: Path) -> Iterator[Path]:
    """Folders and files below a folder, a folder before what is in it. Links are left out, as by SWUpdate."""
    if not source.is_dir():
        raise DeviceError("path-unusable", f"{source} cannot be copied", expected="a folder")
    for folder, folders, names in os.walk(source):
        for path in (Path(folder, name) for name in sorted(folders + names)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                _log.warning("%s is not copied: it is neither file nor folder", path)
            else:
                yield path


def _copy_one(path: Path, to: Path, device: Device) -> None:
    if path.is_dir():
        inside.make_folders(to, mode=stat.S_IMODE(path.stat().st_mode))
        return
    source = _Source(path, 0, None)
    size = source.measure()
    files.check(to, size, creates=False)
    files.replace(to, source.blocks(size), Image(size, None), device.progress)


def _wrong(entry: Entry, what: str, expected: str, found: str | None) -> UpdateError:
    return UpdateError("description-content", f"{entry.label}: {what}", expected=expected, found=found)
