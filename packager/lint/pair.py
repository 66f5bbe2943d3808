"""An image, the base that devices have, and what checks say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from packager.lint.cost import Base
from packager.lint.draft import Draft
from packager.lint.findings import Finding
from packager.lint.remake import Remake
from packager.lint.side import Side

Undo: TypeAlias = Callable[[Draft], None]
"""Changes a draft of the image into what it were without the cause."""

Price: TypeAlias = Callable[[Base, int], int | None]
"""Where no bytes can be replaced: from the base and what the update takes with all else mended, the cost."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What is looked at.

    Attributes:
        old: None where there is nothing to compare with.
        remake: makes both again; None where that cannot be, or need not.
    """

    new: Side
    old: Side | None = None
    remake: Remake | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, and what tells its cost: at most one of the two; with none, the finding may know it."""

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
