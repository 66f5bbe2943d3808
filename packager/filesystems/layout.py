"""What a file system says of itself: its files, and whose each byte of the image is."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from packager.filesystems.image import Image


class Kind(StrEnum):
    """Of what owns bytes of an image."""

    FILE = "file"  # what stands in a file, or where a link points
    DIRECTORY = "directory"
    METADATA = "metadata"  # of the file system; the owner tells which
    JOURNAL = "journal"
    FREE = "free"
    RANGE = "range"  # bytes of an image whose file system is not known


FREE: Final = "free"
"""The owner of bytes that nothing uses."""

UNACCOUNTED: Final = "unaccounted"
"""The owner of bytes that are in use, though nothing that was found uses them: a file without a name."""

MAX_FILES: Final = 1 << 22  # no image for a device has more
PIECE: Final = 1 << 20  # bytes, of what is read at a time


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """The bytes `[start, stop)` of an image, and whose they are.

    Attributes:
        owner: a path in the image ("/usr/bin/env"), or what it is ("inode tables"): without a slash.
    """

    start: int
    stop: int
    owner: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Layout:
    """Of a whole image: extents without gaps and without overlaps, ascending.

    Attributes:
        kind: of the file system, as `mount -t` calls it.
        size: of the image, bytes.
    """

    kind: str
    size: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class File:
    """Anything that has a path: a file, a folder, a link, a device. Several paths may share an inode."""

    path: str  # "/usr/bin/env"; "/" is the root
    inode: int
    mode: int  # as stat's st_mode: kind and permissions
    uid: int
    gid: int
    size: int  # bytes
    mtime: int  # seconds since 1970
    target: str | None = None  # of a symbolic link

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


class FileSystem(Protocol):
    """One image, scanned."""

    files: tuple[File, ...]  # ascending by path

    def layout(self) -> Layout:
        """Whose each byte is."""

    def content(self, file: File, /) -> Iterator[bytes]:
        """The bytes of a regular file, in pieces of at most 1 MiB."""


def whole(image: Image, kind: str, extents: Iterable[Extent], *, has_bitmap: bool = False) -> Layout:
    """The layout that these extents make. Neighbours of one owner are one.

    What none of them covers is free. Where no bitmap says so, it has to be zeros, else it is unaccounted.

    Raises:
        ConfigError: "image-unreadable": two owners have the same bytes, or they lie outside the image.
    """
    done: list[Extent] = []
    reached = 0
    for extent in sorted(extents):
        if extent.start < reached:
            raise image.damaged(
                f"bytes from {extent.start} on belong to {extent.owner} and {done[-1].owner} at a time"
            )
        if extent.start > reached:
            done.append(_gap(image, reached, extent.start, has_bitmap))
        last = done[-1] if done else None
        if last and (last.owner, last.kind) == (extent.owner, extent.kind):
            done[-1] = Extent(last.start, extent.stop, last.owner, last.kind)
        else:
            done.append(extent)
        reached = extent.stop
    if reached > image.size:
        raise image.damaged(f"{done[-1].owner} ends at {reached}", expected=f"within {image.size}")
    if reached < image.size:
        done.append(_gap(image, reached, image.size, has_bitmap))
    return Layout(kind, image.size, tuple(done))


def _gap(image: Image, start: int, stop: int, has_bitmap: bool) -> Extent:
    pieces = (image.take(at, min(PIECE, stop - at), "a gap") for at in range(start, stop, PIECE))
    if has_bitmap or not any(any(piece) for piece in pieces):
        return Extent(start, stop, FREE, Kind.FREE)
    return Extent(start, stop, UNACCOUNTED, Kind.METADATA)


def zeros(size: int) -> Iterator[bytes]:
    """So many, in pieces; none where `size` is negative."""
    while size > 0:
        yield bytes(min(size, PIECE))
        size -= PIECE
