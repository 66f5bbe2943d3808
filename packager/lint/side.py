"""One side of a comparison: an image whose file system was scanned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packager.filesystems import File, FileSystem, Kind, Layout
from packager.lint.draft import Draft


class Side:
    """An image; read only."""

    def __init__(self, path: Path, system: FileSystem, draft: Draft) -> None:
        self.path = path
        self.system = system
        self.bytes = draft  # never changed

    @property
    def kind(self) -> str:
        """Of the file system."""
        return self.layout.kind

    @cached_property
    def layout(self) -> Layout:
        return self.system.layout()

    @cached_property
    def files(self) -> Mapping[str, File]:
        """By path."""
        return {file.path: file for file in self.system.files}

    @cached_property
    def places(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Where in the image each file's bytes lie: (start, stop) in ascending order, by path."""
        found: dict[str, list[tuple[int, int]]] = {}
        for extent in self.layout.extents:
            if extent.kind is Kind.FILE:
                found.setdefault(extent.owner, []).append((extent.start, extent.stop))
        return found

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The paths of all that have places, as they stand in the image."""
        return tuple(sorted(self.places, key=lambda path: self.places[path][0]))

    @cached_property
    def names(self) -> Mapping[str, frozenset[str]]:
        """What is in each folder, by the folder's path."""
        found: dict[str, set[str]] = {}
        for path in self.files:
            folder, _, name = path.rpartition("/")
            found.setdefault(folder or "/", set()).add(name)
        return {folder: frozenset(inside) for folder, inside in found.items()}

    def head(self, path: str) -> bytes:
        """The first bytes of a file: all, or some thousands."""
        file = self.files[path]
        return next(self.system.content(file), b"") if file.is_file else b""

    def content(self, path: str) -> bytes:
        """A whole file."""
        return b"".join(self.system.content(self.files[path]))


@dataclass(frozen=True, slots=True)
class Head:
    """The first `length` bytes of a file become these."""

    length: int
    data: bytes
