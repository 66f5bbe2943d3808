"""Where the `path` of an entry lies: in the running system, or on a file system that is mounted for it.

SWUpdate mounts where an entry has both `device` and `filesystem` (doc/source/sw-description.rst, "Files").
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from ota import files
from ota.device import Device, Place
from ota.errors import DeviceError, UpdateError
from ota.formats.selection import Description, Entry, Section
from ota.io import inside, mount
from ota.io.target import Target, is_mounted, same_file
from ota.job import Span

_PROGRAMS: Final = ("shellscript", "preinstall", "executor")  # they run before, and may do anything


@dataclass(frozen=True, slots=True)
class Location:
    """A `path`, and the file system that it is on.

    Attributes:
        path: as the entry has it, from the root of that file system.
        device: what is mounted; None: the running system.
        forget: notes that what a slot holds becomes unknown; it has to be called before the slot is written.
        kind: as mount(8) takes it.
        folder: where it is mounted meanwhile.
        may_change: an entry that is installed earlier may change what is there: it is looked at afterwards.
        creates: the property `create-destination`: missing folders are made.
        follows: a link at the end of the path stays, and what it leads to is replaced.
    """

    path: str
    device: Path | None
    forget: Callable[[], None]
    kind: str
    folder: Path
    may_change: bool
    creates: bool
    follows: bool

    @property
    def span(self) -> Span:
        """For `Job.writes`; on a device as if that were a folder."""
        if self.device:
            return Span(self.device / self.path.lstrip("/"))
        return Span(resolve(Path("/"), self))


def locate(entry: Entry, device: Device, description: Description) -> Location:
    """Read what an entry says of its destination.

    Raises:
        UpdateError: "description-content".
        DeviceError: "slot-running".
    """
    path = entry.path or ""
    if not path or ".." in path.split("/"):
        raise _wrong(entry, "path", "a path without '..'", entry.path)
    if (entry.device is None) != (entry.filesystem is None):
        raise _wrong(
            entry,
            "device and filesystem",
            "both or none",
            f"{entry.device or 'none'}, {entry.filesystem or 'none'}",
        )
    if entry.device is None and not path.startswith("/"):
        raise _wrong(entry, "path", "an absolute path where no file system is mounted", path)
    if not re.fullmatch(r"[a-z0-9._-]*", entry.filesystem or ""):
        raise _wrong(entry, "filesystem", "its name", entry.filesystem)
    place = device.find_idle(entry.device) if entry.device else None
    return Location(
        path=path,
        device=place.path if place else None,
        forget=partial(_forget, device, place),
        kind=entry.filesystem or "",
        folder=device.config.state_dir / "mnt",
        may_change=_may_change(entry, device, description),
        creates=is_set(entry, "create-destination"),
        follows=not is_set(entry, "atomic-install"),
    )


def resolve(root: Path, location: Location) -> Path:
    """Where a location's path leads to inside a root."""
    return resolve_file(root, location.path, follows=location.follows)


def capacity(location: Location) -> int:
    """Bytes that its file system may hold at most, whatever becomes of it before.

    Raises:
        DeviceError: "slot-unreadable".
    """
    if location.device is not None:
        with Target(location.device) as device:
            return device.size
    status = os.statvfs(inside.nearest(resolve(Path("/"), location)))
    return status.f_blocks * status.f_frsize


def is_set(entry: Entry, name: str) -> bool:
    """Whether a property is true, in SWUpdate's spelling (strtobool in core/util.c)."""
    return entry.property(name) in ("true", "TRUE")


@contextmanager
def opened(location: Location, *, readonly: bool = False) -> Iterator[Path]:
    """The root of the file system; at the end all that was written to it is durable.

    Args:
        readonly: to look at it only.

    Raises:
        DeviceError: "mount-failed" and what `mount.mounted` raises.
    """
    if location.device is None:
        _refuse_readonly(location)
        yield Path("/")
        return
    # What is mounted elsewhere, too, is one file system: the kernel mounts it the same way or not at all.
    readonly = readonly and not is_mounted(location.device)
    if not readonly:
        location.forget()
    with mount.mounted(location.device, location.kind, location.folder, readonly=readonly) as root:
        yield root


def check_file(location: Location, size: int | None) -> None:
    """Refuse a file that cannot be put there, as far as that can be known by now.

    Raises:
        DeviceError: "path-unusable", "file-system-full", "mount-failed".
    """
    if not location.may_change:
        with opened(location, readonly=True) as root:
            find_file(root, location, size)


@contextmanager
def opened_file(location: Location, size: int | None) -> Iterator[Path]:
    """Where a file is to be put, checked, in a folder that is there; see `check_file`."""
    with opened(location) as root:
        path = find_file(root, location, size)
        inside.make_folders(path.parent)
        yield path


def find_file(root: Path, location: Location, size: int | None) -> Path:
    """Where a file is to be put; see `check_file`."""
    path = resolve_file(root, location.path, follows=location.follows)
    files.check(path, size, creates=location.creates)
    return path


def resolve_file(root: Path, path: str, *, follows: bool) -> Path:
    """Where a path leads to inside a root; at the end of it a link is followed, or is what is meant."""
    if follows:
        return inside.resolve(root, path)
    folder, _, name = path.rstrip("/").rpartition("/")
    return inside.resolve(root, folder) / name


def _forget(device: Device, place: Place | None) -> None:
    if place and place.slot:
        device.manifests.forget(place.slot.name)


def _refuse_readonly(location: Location) -> None:
    there = inside.nearest(resolve_file(Path("/"), location.path, follows=location.follows))
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        raise DeviceError("path-unusable", f"{location.path} lies on a file system that is mounted read-only")


def _may_change(entry: Entry, device: Device, description: Description) -> bool:
    place = device.find(entry.device).path if entry.device else None
    is_earlier = True
    for other in description.entries:
        if other is entry:
            is_earlier = False
            continue
        # Scripts may run before everything else, wherever they stand.
        runs_before = is_earlier or other.section is Section.SCRIPTS
        if other.type in _PROGRAMS or (runs_before and _covers(other, entry, device, place)):
            return True
    return False


def _covers(other: Entry, entry: Entry, device: Device, place: Path | None) -> bool:
    """Whether another entry writes the whole device that an entry lies on, or a folder above it."""
    its = device.find(other.device).path if other.device else None
    if its and place and not other.filesystem:
        # As the kernel names partitions after their disk.
        return same_file(its, place) or str(place.resolve()).startswith(str(its.resolve()))
    is_same = its == place or bool(its and place and same_file(its, place))
    above = PurePosixPath("/", other.path or "")
    return is_same and bool(other.path) and PurePosixPath("/", entry.path or "").is_relative_to(above)


def _wrong(entry: Entry, what: str, expected: str, found: str | None) -> UpdateError:
    return UpdateError("description-content", f"{entry.label}: {what}", expected=expected, found=found)
