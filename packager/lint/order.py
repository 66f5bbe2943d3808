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


def _longest_ascent(numbers: Sequence[int]) -> int:
    """How many of them can stay where the others move."""
    ends: list[int] = []
    for number in numbers:
        at = bisect(ends, number)
        ends[at : at + 1] = [number]
    return len(ends)
