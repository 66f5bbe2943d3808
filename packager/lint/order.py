"""How many files of an image stand in another order than in the base."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from typing import Final

from packager.lint.side import Side

_FEW: Final = 0.02  # of the files may have moved: what has grown leaves room that others take


def moved(new: Side, old: Side) -> str | None:
    """In words; None where there are none, or just a few."""
    rank = {path: at for at, path in enumerate(old.order)}
    both = [rank[path] for path in new.order if path in rank]
    count = len(both) - _longest_ascent(both)
    return f"{count} of {len(both)} files that both have" if count > _FEW * len(both) else None


def kept(new: Side, old: Side) -> tuple[str, ...]:
    """The new files in the base's order; what the base lacks stands behind what precedes it by name."""
    behind: dict[str, list[str]] = {"": []}
    last = ""
    known = set(old.order)
    for path in sorted(new.order):
        if path in known:
            last = path
            behind[last] = []
        else:
            behind[last].append(path)
    rows = ((path, *behind[path]) for path in old.order if path in behind)
    return (*behind[""], *(path for row in rows for path in row))


def _longest_ascent(numbers: Sequence[int]) -> int:
    """How many of them can stay where the others move."""
    ends: list[int] = []
    for number in numbers:
        at = bisect(ends, number)
        ends[at : at + 1] = [number]
    return len(ends)
