"""The plot of what an update costs: a bar for each way to bring an image to devices with a base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = Mapping[str, Any]  # of the estimate; what it holds was checked against schema.json

_MOST_TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One method; lengths in per cent of the plot's width."""

    row: Row
    package: float  # the part that lies in the package
    fetched: float  # what is fetched beside it


@dataclass(frozen=True, slots=True)
class Plot:
    """All methods of one image, by base."""

    image: str
    ticks: tuple[int, ...]  # bytes; the last one is the plot's width
    bases: tuple[tuple[str | None, tuple[Bar, ...]], ...]  # version, None: a device with nothing


def plots(rows: Sequence[Row]) -> tuple[Plot, ...]:
    """One plot for each image; images and bases in the order in which they come."""
    return tuple(
        _plot(image, [row for row in rows if row["image"] == image])
        for image in dict.fromkeys(row["image"] for row in rows)
    )


def _plot(image: str, rows: Sequence[Row]) -> Plot:
    ticks = scale(max(row["download_bytes"] or 0 for row in rows))
    bases = tuple(
        (base, tuple(_bar(row, ticks[-1]) for row in rows if row["base"] == base))
        for base in dict.fromkeys(row["base"] for row in rows)
    )
    return Plot(image, ticks, bases)


def _bar(row: Row, width: int) -> Bar:
    whole = row["download_bytes"] or 0
    package = min(row.get("package_bytes") or 0, whole)
    return Bar(row, round(100 * package / width, 3), round(100 * (whole - package) / width, 3))


def scale(most: int) -> tuple[int, ...]:
    """Round numbers of bytes from 0 on, evenly spaced, up to `most` or just beyond."""
    step = 1
    while step * _MOST_TICKS < most:
        # 1, 2, 5, 10, 20, 50, ...
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return tuple(range(0, max(most, 1) + step, step))
