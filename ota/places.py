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

    span: Span
    whole: object
    base: int  # bytes: where the span's device begins in it

    @classmethod
    def of(cls, span: Span) -> Self:
        return cls(span, *lies_on(span.path))

    @property
    def start(self) -> int:
        return self.base + self.span.start

    def overlaps(self, other: Self) -> bool:
        if self.whole != other.whole:
            return False
        first, second = sorted((self, other), key=lambda place: place.start)
        return first._reaches(second.start)

    def _reaches(self, position: int) -> bool:
        """Whether it ends behind a position that is not before its start."""
        if self.span.stop is not None:
            return self.base + self.span.stop > position
        if self.base:
            with Target(self.span.path) as partition:
                if self.base + partition.size <= position:
                    return False
        return self.span.measure is None or self.start + self.span.measure() > position
