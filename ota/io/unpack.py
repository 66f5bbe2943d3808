"""Archives that are unpacked into a folder: walked to the end to find what must be refused, then unpacked.

Both times the same rules hold, for the second one reads the package again. Both happen in a thread that sees
the folder's file system as its root (`ota.io.inside`); the bytes come to it through a pipe, whose other end
counts what went in and what came out of it. So nothing in an archive can name what lies outside, fill memory,
or go on forever.

What was a link on the device before the update is followed, as SWUpdate does; what the archive made is not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ota.errors import DeviceError, UpdateError
from ota.interfaces import Reader
from ota.io import inside
from ota.io.readers import blocks
from ota.native.archive import Archive, Member

MAX_MEMBERS: Final = 1 << 20
MAX_LINKS: Final = 1 << 17  # that the archive makes; each takes some 100 bytes of memory
MAX_NAME: Final = 4095  # bytes; Linux's PATH_MAX with its NUL
MAX_PART: Final = 255  # bytes between two slashes; Linux's NAME_MAX
MAX_HEADERS: Final = 64 << 10  # bytes for each member beside its data: padding, long names, attributes
MAX_REST: Final = 4 << 20  # bytes that may follow the last member: padding to whole records

_KINDS: Final = {
    stat.S_IFCHR: "a device node",
    stat.S_IFBLK: "a device node",
    stat.S_IFIFO: "a named pipe",
}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to, and how."""

    root: Path  # of the file system, wherever it is mounted
    folder: Path  # as `inside.resolve` found it; it may be missing where the archive is only looked at
    preserves: bool  # owners, modes, times, attributes; device nodes


@dataclass(frozen=True, slots=True)
class Room:
    """What a file system can still take."""

    size: int  # bytes, used or not
    free: int  # bytes
    files: int | None  # None: as many as there are bytes for

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Where a folder lies, or will lie."""
        status = os.statvfs(inside.nearest(folder))
        free = status.f_bfree * status.f_frsize
        return cls(status.f_blocks * status.f_frsize, free, status.f_ffree if status.f_files else None)

    def holds(self, contents: Contents) -> bool:
        """Whether there is room for them beside all that is there."""
        return contents.data <= self.free and (self.files is None or contents.members <= self.files)


@dataclass(frozen=True, slots=True)
class Contents:
    """What was in an archive."""

    members: int
    data: int  # bytes of files, without holes


def look(source: Reader, destination: Destination, room: Room) -> Contents:
    """Read an archive to its end as if it were unpacked; nothing is written.

    Raises:
        UpdateError: "payload-format", "payload-unsafe".
        DeviceError: "file-system-full".
    """
    return _through(source, destination, room, writes=False)


def unpack(source: Reader, destination: Destination, room: Room) -> Contents:
    """Unpack an archive; as `look`, and what was there is replaced. Not durable yet.

    Raises:
        DeviceError: also "path-unusable": a member cannot be written.
    """
    return _through(source, destination, room, writes=True)


def _through(source: Reader, destination: Destination, room: Room, *, writes: bool) -> Contents:
    """Feed a thread that walks the archive."""
    folder = inside.nearest(destination.folder)
    rules = _Rules(destination, room)
    receiving, sending = os.pipe()
    with ThreadPoolExecutor(1) as thread, Archive(receiving) as archive:

        def work() -> None:
            if writes:
                archive.unpack_here(preserve=destination.preserves)
            try:
                for member in archive.walk():
                    rules.admit(member)
            except OSError as error:
                raise inside.translate(error, error.filename) from error

        working = inside.start(thread, destination.root, folder, work)
        working.add_done_callback(lambda _: os.close(receiving))
        try:
            _feed(source, sending, working, lambda fed: _refuse_excess(archive, rules, room, fed))
        finally:
            os.close(sending)
            wait([working])
        working.result()
        _refuse_excess(archive, rules, room, 0)
        return Contents(archive.members, archive.data)


def _feed(source: Reader, pipe: int, working: Future[None], fed: Callable[[int], None]) -> None:
    """Send all of it; once the archive is at its end, see to it that the source soon is, and so is proved."""
    sent = rest = 0
    for block in blocks(source):
        if not rest and _send(pipe, block):
            sent += len(block)
            fed(sent)
            continue
        working.result()
        rest += len(block)
        if rest > MAX_REST:
            raise UpdateError(
                "payload-format",
                "behind the end of the archive",
                expected=f"<= {MAX_REST} bytes",
                found="more",
            )


def _send(pipe: int, block: bytes) -> bool:
    """Whether somebody still takes it."""
    view = memoryview(block)
    try:
        while view:
            view = view[os.write(pipe, view) :]
    except BrokenPipeError:
        return False
    return True


def _refuse_excess(archive: Archive, rules: _Rules, room: Room, fed: int) -> None:
    if archive.members > MAX_MEMBERS:
        raise UpdateError(
            "payload-unsafe", "members of the archive", expected=f"<= {MAX_MEMBERS}", found="more"
        )
    if fed > archive.data + archive.members * MAX_HEADERS + MAX_REST:
        raise UpdateError(
            "payload-unsafe", "the archive has hardly any files in it", found=f"{fed} bytes so far"
        )
    if room.files is not None and rules.new > room.files:
        raise _full("the archive", f"<= {room.files} files", "more")
    if archive.data > min(room.size, room.free + rules.freed):
        raise _full("the archive", f"<= {min(room.size, room.free + rules.freed)} bytes", "more")


class _Rules:
    """What a member may be; remembers what has to be known of those before it."""

    def __init__(self, destination: Destination, room: Room) -> None:
        self._is_there = destination.folder.is_dir()
        self._preserves = destination.preserves
        self._depth = len(destination.folder.relative_to(destination.root).parts)
        self._room = room
        self._links: set[int] = set()  # hashes of the names of links
        self.freed = 0  # bytes of files that are replaced
        self.new = 0  # files that were not there

    def admit(self, member: Member) -> None:
        parts = _parts(member.name, member.name)
        self._refuse_through_links(member.name, parts)
        self._count(member)
        if member.hard_link is not None:
            target = _parts(member.hard_link, member.name)
            self._refuse_through_links(member.name, target)
            self._remember_link(parts)
        elif member.kind == stat.S_IFLNK:
            self._refuse_leading_out(member, parts)
            self._remember_link(parts)
        elif member.kind == stat.S_IFDIR:
            self._refuse_link(member.name, parts)
        elif member.kind in _KINDS:
            if not self._preserves:
                raise _unsafe(
                    member.name,
                    "a file, folder or link where attributes are not preserved",
                    _KINDS[member.kind],
                )
        elif member.kind != stat.S_IFREG:
            raise _unsafe(member.name, "a file, folder, link or device", f"kind {member.kind:o}")

    def _refuse_through_links(self, name: bytes, parts: list[bytes]) -> None:
        for stop in range(1, len(parts)):
            self._refuse_link(name, parts[:stop])

    def _refuse_link(self, name: bytes, parts: list[bytes]) -> None:
        if hash(b"/".join(parts)) in self._links:
            raise _unsafe(name, "a folder on the way", "a link that the archive makes")

    def _remember_link(self, parts: list[bytes]) -> None:
        self._links.add(hash(b"/".join(parts)))
        if len(self._links) > MAX_LINKS:
            raise UpdateError(
                "payload-unsafe", "links in the archive", expected=f"<= {MAX_LINKS}", found="more"
            )

    def _refuse_leading_out(self, member: Member, parts: list[bytes]) -> None:
        """An absolute target starts at the root of the file system; a relative one may not climb above it."""
        target = member.symbolic_link or b""
        if target.startswith(b"/"):
            return
        depth = self._depth + len(parts) - 1
        for part in target.split(b"/"):
            depth += -1 if part == b".." else part not in (b"", b".")
            if depth < 0:
                raise _unsafe(member.name, "a link that stays in its file system", os.fsdecode(target))

    def _count(self, member: Member) -> None:
        if member.size > self._room.size:
            raise _full(os.fsdecode(member.name), f"<= {self._room.size} bytes", member.size)
        old = _status(member.name) if self._is_there else None
        if old is None:
            self.new += 1
        elif stat.S_ISREG(old.st_mode) and old.st_nlink == 1:
            self.freed += old.st_blocks * 512


def _parts(path: bytes, name: bytes) -> list[bytes]:
    """A path's parts, if it stays below where it starts."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if path.startswith(b"/") or b".." in parts or not path:
        raise _unsafe(name, "names that stay in the folder", os.fsdecode(path)[:MAX_PART])
    if len(path) > MAX_NAME or any(len(part) > MAX_PART for part in parts):
        raise _unsafe(name, f"names of {MAX_NAME} bytes, {MAX_PART} between slashes", f"{len(path)} bytes")
    return parts


def _status(name: bytes) -> os.stat_result | None:
    try:
        return os.lstat(name)
    except OSError:
        return None


def _unsafe(name: bytes, expected: str, found: str) -> UpdateError:
    what = f"the archive's {os.fsdecode(name)[:MAX_PART]!r}"
    return UpdateError("payload-unsafe", what, expected=expected, found=found)


def _full(what: str, expected: str, found: object) -> DeviceError:
    return DeviceError("file-system-full", f"{what} does not fit", expected=expected, found=found)
