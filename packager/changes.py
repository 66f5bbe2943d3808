"""What became of each file between two file systems, by content: names, owners and times do not count."""

from __future__ import annotations

import hashlib
import stat
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from packager.filesystems import File, FileSystem


class Change(StrEnum):
    """Of a file, or of what else owns bytes of an image."""

    ADDED = "added"
    CHANGED = "changed"
    MOVED = "moved"  # the same content under another name, or at another place of the image
    REMOVED = "removed"  # owns no bytes, and is only counted
    METADATA = (
        "metadata"  # of a file: only what stands beside its content; of an image: the file system's own
    )


class Changes:
    """Between two images. Contents are read when they are asked for, each once.

    Args:
        old: None: nothing is known of it, and all has changed.
    """

    def __init__(self, old: FileSystem | None, new: FileSystem) -> None:
        self._old, self._new = _Side(old), _Side(new)
        self._is_known = old is not None
        self._found: dict[str, Change] = {}

    def of(self, path: str) -> Change:
        """What became of the file or folder with that path in the new image.

        Never REMOVED; METADATA for a folder with the same names.
        """
        if not self._is_known:
            return Change.CHANGED
        if path not in self._found:
            self._found[path] = self._look(self._new.files[path])
        return self._found[path]

    def counts(self) -> Mapping[str, int]:
        """How many files, folders left out, by change; here MOVED is what has another name."""
        counts: Counter[Change] = Counter()
        sources = set()
        for path, file in self._new.files.items():
            if file.is_folder:
                continue
            change = self.of(path)
            if path not in self._old.files:
                counts[change] += 1
                sources.add(self._source(file) if change is Change.MOVED else None)
            elif change is Change.CHANGED:
                counts[change] += 1
            elif _beside(file) != _beside(self._old.files[path]):
                counts[Change.METADATA] += 1
        for path, file in self._old.files.items():
            if path not in self._new.files and path not in sources and not file.is_folder:
                counts[Change.REMOVED] += 1
        return {change.value: counts[change] for change in Change}

    def _look(self, file: File) -> Change:
        before = self._old.files.get(file.path)
        if before is not None:
            if not self._is_same(before, file):
                return Change.CHANGED
            # A folder's list of the same names holds inode numbers, which change with every inode before.
            return Change.METADATA if file.is_folder else Change.MOVED
        return Change.MOVED if self._source(file) else Change.ADDED

    def _source(self, file: File) -> str | None:
        """A path in the old image with this content."""
        if not file.is_file or file.size == 0:
            return None
        like = self._old.by_size.get(file.size, ())
        return next((before.path for before in like if self._is_same(before, file)), None)

    def _is_same(self, old: File, new: File) -> bool:
        if stat.S_IFMT(old.mode) != stat.S_IFMT(new.mode):
            return False
        if new.is_file:
            return old.size == new.size and self._old.digest(old) == self._new.digest(new)
        if new.is_folder:
            return self._old.names(old) == self._new.names(new)
        return old.target == new.target


class _Side:
    """One of two images."""

    def __init__(self, system: FileSystem | None) -> None:
        self._system = system
        self._digests: dict[int, bytes] = {}  # by inode
        self._names: dict[str, set[str]] = {}  # by folder
        self.files = {file.path: file for file in system.files} if system else {}
        self.by_size: dict[int, list[File]] = {}
        for path, file in self.files.items():
            self._names.setdefault(path.rpartition("/")[0] or "/", set()).add(path)
            if file.is_file:
                self.by_size.setdefault(file.size, []).append(file)

    def digest(self, file: File) -> bytes:
        """Of a regular file's content."""
        assert self._system is not None
        if file.inode not in self._digests:
            whole = hashlib.sha256()
            for piece in self._system.content(file):
                whole.update(piece)
            self._digests[file.inode] = whole.digest()
        return self._digests[file.inode]

    def names(self, folder: File) -> set[str]:
        """Paths of what is in a folder."""
        return self._names.get(folder.path, set())


def _beside(file: File) -> tuple[int, int, int, int]:
    return file.mode, file.uid, file.gid, file.mtime
