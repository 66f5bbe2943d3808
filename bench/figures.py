"""What a bench found: figures with the bounds that they have to keep."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure and its bound."""

    case: str
    figure: str
    value: float
    bound: float
    better: str = "lower"

    @property
    def holds(self) -> bool:
        return self.value <= self.bound if self.better == "lower" else self.value >= self.bound


def print_json(bench: str, found: Iterable[Figure]) -> None:
    """One line a figure, for programs."""
    for figure in found:
        print(json.dumps({"bench": bench, **asdict(figure)}), flush=True)


def print_text(found: Iterable[Figure]) -> None:
    """One line a figure, for people."""
    for figure in found:
        sign = "<=" if figure.better == "lower" else ">="
        verdict = "holds" if figure.holds else "DOES NOT HOLD"
        line = f"{figure.case:32} {figure.figure:18} {figure.value:>12,} {sign} {figure.bound:,}"
        print(f"{line}  {verdict}", flush=True)
