"""An image, the base that devices have, and what checks say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from packager.filesystems import File, FileSystem, Kind, Layout
from packager.lint.cost import Base, Draft
from packager.lint.findings import Finding

Undo: TypeAlias = Callable[[Draft], None]
"""Changes a draft of the image into what it were without the cause."""

Price: TypeAlias = Callable[[Base, int], int | None]
"""Where no bytes can be replaced: from the base and what the update takes with all else mended, the cost."""


class Side:
    """An image whose file system was scanned."""

    def __init__(self, path: Path, system: FileSystem, draft: Draft) -> None:
        self.path = path
        self.system = system
        self.bytes = draft  # never changed

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
class Pair:
    """What is looked at. `old` is None where there is nothing to compare with."""

    new: Side
    old: Side | None


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, and what tells its cost: at most one of the two."""

    finding: Finding
    undo: Undo | None = None
    price: Price | None = None


Check: TypeAlias = Callable[[Pair], Iterator[Found]]


def unchanged(pair: Pair, path: str) -> bool:
    """Whether what is there is in the base too: the same content, link or names."""
    new, old = pair.new.files[path], pair.old.files.get(path) if pair.old else None
    if old is None or pair.old is None or (new.mode, new.target) != (old.mode, old.target):
        return False
    if new.is_folder:
        return pair.new.names.get(path) == pair.old.names.get(path)
    if new.is_file:
        return new.size == old.size and pair.new.content(path) == pair.old.content(path)
    return True
