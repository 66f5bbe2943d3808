"""Whose each byte of an image is, and what its files are: ext4 (ext2, ext3), squashfs, erofs.

Nothing is mounted, and no program is needed. A file system that is not in the table is refused, never
guessed; a damaged one ends with "image-unreadable".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from packager.filesystems import erofs, ext4, squashfs
from packager.filesystems.image import Image
from packager.filesystems.layout import Extent, File, FileSystem, Kind, Layout

__all__ = ["Extent", "File", "FileSystem", "Kind", "Layout", "files", "layout", "opened", "read"]

MAX_READ: Final = 256 << 20  # bytes, of a file that is read at once

_KINDS: Final[Mapping[str, tuple[int, bytes, Callable[[Image], FileSystem]]]] = {
    "ext4": (ext4.MAGIC_AT, ext4.MAGIC, ext4.Ext4),
    "squashfs": (0, squashfs.MAGIC, squashfs.Squashfs),
    "erofs": (erofs.MAGIC_AT, erofs.MAGIC, erofs.Erofs),
}
"""The kind; where in the image its magic stands; what reads it."""


@contextmanager
def opened(path: Path) -> Iterator[FileSystem]:
    """The file system of an image, as long as the block lasts.

    Raises:
        ConfigError: "file-missing", "filesystem-unknown" or "image-unreadable".
    """
    with Image(path) as image:
        yield _scan(image)


def layout(path: Path) -> Layout:
    """Whose each byte of an image is; raises as `opened`."""
    with opened(path) as system:
        return system.layout()


def files(path: Path) -> tuple[File, ...]:
    """Everything in an image that has a path, ascending; raises as `opened`."""
    with opened(path) as system:
        return system.files


def read(path: Path, name: str) -> bytes:
    """A regular file of an image; raises as `opened`.

    Args:
        name: from the root on; links on the way are not followed.

    Raises:
        ConfigError: "file-missing": there is no regular file of that name, or it is larger than MAX_READ.
    """
    with opened(path) as system:
        wanted = "/" + name.strip("/")
        found = next((file for file in system.files if file.path == wanted and file.is_file), None)
        if found is None or found.size > MAX_READ:
            why = "no such file" if found is None else f"a file of {found.size} bytes"
            raise ConfigError(
                "file-missing", f"{path.name}: {wanted}: {why}", expected=f"<= {MAX_READ} bytes"
            )
        return b"".join(system.content(found))


def _scan(image: Image) -> FileSystem:
    for at, magic, scan in _KINDS.values():
        if at + len(magic) <= image.size and image.take(at, len(magic), "magic") == magic:
            with image.reading():
                return scan(image)
    raise image.unknown(f"its file system is not known here: it is none of {', '.join(_KINDS)}")
