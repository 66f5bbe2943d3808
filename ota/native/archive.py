"""Members of a tar, cpio or zip archive through the system's libarchive: looked at, counted, unpacked.

libarchive is loaded with this module, which only a package with an archive needs. What may be unpacked is not
decided here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from ota.errors import UpdateError
from ota.native._archive import ffi, lib

# As SWUpdate's archive_handler.c has it for `preserve-attributes`.
_ATTRIBUTES: Final = (
    lib.ARCHIVE_EXTRACT_OWNER
    | lib.ARCHIVE_EXTRACT_PERM
    | lib.ARCHIVE_EXTRACT_TIME
    | lib.ARCHIVE_EXTRACT_ACL
    | lib.ARCHIVE_EXTRACT_FFLAGS
    | lib.ARCHIVE_EXTRACT_XATTR
)
_SECURE: Final = lib.ARCHIVE_EXTRACT_SECURE_NODOTDOT | lib.ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS


@dataclass(frozen=True, slots=True)
class Member:
    """What an archive says of one member in front of its data."""

    name: bytes
    kind: int  # stat.S_IFMT; of a hard link it means nothing
    size: int  # bytes, with holes; 0 where the archive says it only behind the data
    hard_link: bytes | None
    symbolic_link: bytes | None


class Archive:
    """An archive that is read once from the front. Also a context manager.

    Args:
        descriptor: where it comes from, a pipe for example; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._walk = ffi.new("struct walk *")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lib.walk_free(self._walk)

    @property
    def members(self) -> int:
        """How many there were so far."""
        return int(self._walk.members)

    @property
    def data(self) -> int:
        """Bytes of files so far, without holes."""
        return int(self._walk.data)

    def walk(self) -> Iterator[Member]:
        """Each member; its data are passed when the next one is asked for, or at the end.

        Raises:
            UpdateError: "payload-format": it is none of these archives, or damaged.
            OSError: it cannot be written; `filename` is the member's name.
        """
        self._check(lib.walk_open(self._walk, self._descriptor))
        while self._check(lib.walk_next(self._walk)) != lib.END:
            yield self._member()
            self._check(lib.walk_pass(self._walk))
        self._check(lib.walk_finish(self._walk))

    def unpack_here(self, *, preserve: bool) -> None:
        """From now on write what is passed below the thread's working directory.

        Args:
            preserve: owners, all mode bits, times, ACLs and extended attributes, instead of this process's.
        """
        self._check(lib.walk_write_to(self._walk, _SECURE | (_ATTRIBUTES if preserve else 0)))

    def _member(self) -> Member:
        walk = self._walk
        name = _text(walk.name)
        if name is None:
            raise UpdateError("payload-format", "a member of the archive has a name that cannot be read")
        return Member(name, walk.kind, walk.size, _text(walk.hard_link), _text(walk.symbolic_link))

    def _check(self, outcome: int) -> int:
        if outcome == lib.BAD_ARCHIVE:
            raise UpdateError("payload-format", "the archive", found=_reason(self._walk.archive))
        if outcome == lib.BAD_DISK:
            number = lib.archive_errno(self._walk.disk)
            raise OSError(number, _reason(self._walk.disk), os.fsdecode(_text(self._walk.name) or b""))
        return outcome


def _text(string: Any) -> bytes | None:
    return ffi.string(string) if string else None


def _reason(archive: Any) -> str:
    """libarchive's own words."""
    return (_text(lib.archive_error_string(archive)) or b"no reason is given").decode(errors="replace")
