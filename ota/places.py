"""Where the jobs of a package write: no two of them the same place, and none where the system runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ota.errors import DeviceError, UpdateError
from ota.io.target import Target, lies_on
from ota.job import Span


def refuse_doubled(spans: Iterable[Span], running: Path) -> None:
    """Of two entries for one place the second would destroy what the first was proved to be.

    Partitions are seen as parts of their disk. So a disk cannot be written where the running slot lies on it.

    Args:
        spans: what the jobs of a package write.
        running: the running slot.

    Raises:
        UpdateError: "target-doubled".
        DeviceError: "slot-running".
    """
    root = _Place.of(Span(running))
    places: list[_Place] = []
    for span in spans:
        place = _Place.of(span)
        if place.overlaps(root):
            raise DeviceError("slot-running", f"the running slot lies on {span.path} at {root.start}")
        if any(place.overlaps(other) for other in places):
            raise UpdateError(
                "target-doubled", "two entries write the same place", found=f"{span.path} at {span.start}"
            )
        places.append(place)


@dataclass(frozen=True, slots=True)
class _Place:
    """A span as part of the whole disk or file."""

    whole: object
    start: int  # bytes
    stop: int | None

    @classmethod
    def of(cls, span: Span) -> Self:
        whole, base = lies_on(span.path)
        stop = span.stop
        if stop is None and base:
            with Target(span.path) as target:
                stop = target.size
        return cls(whole, base + span.start, None if stop is None else base + stop)

    def overlaps(self, other: Self) -> bool:
        ends_before = self.stop is not None and self.stop <= other.start
        begins_behind = other.stop is not None and other.stop <= self.start
        return self.whole == other.whole and not (ends_before or begins_behind)
