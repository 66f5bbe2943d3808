"""Which method serves which base: the fewest bytes among those that devices can apply. Pure.

A candidate is one method for devices that hold one base. All of an image are looked at together, because a
delta has to beat what a device would fetch that holds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ota.formats.alternatives import Alternative
from packager.limits import Limits
from packager.price import Method, Price


class Reason(StrEnum):
    """Why there is no delta for a base, or why a method is not for it."""

    NO_RECORD = "no record"  # nothing is known of that release
    LAYOUT = "layout changed"  # it has no such image, or is for other boards
    MANIFEST = "manifest missing"  # the release is known, but not what is in the image
    OLD = "too old"  # by the rules of [bases]
    LARGER = "larger than full"  # no smaller than what a device fetches that holds nothing
    MEMORY = "too much memory"  # for [device]
    SPACE = "no spare space"  # on the device, for the delta while it is fetched


@dataclass(frozen=True, slots=True)
class Candidate:
    """One method for devices whose running slot holds one base."""

    image: str
    base: str | None  # its version; None: a device that holds nothing
    price: Price  # of a base that has no delta: as of a device that holds nothing
    refused: Reason | None = None
    chosen: bool = False
    file: Path | None = None  # that would be published
    alternative: Alternative | None = None  # what the entry would say of that file


def choose(candidates: Sequence[Candidate], limits: Limits) -> tuple[Candidate, ...]:
    """The candidates of one image, one chosen for each base: base by base in the order in which they come."""
    blank = [found.price for found in candidates if found.base is None and not _unfit(found, limits)]
    whole = min(blank, key=_order)  # zchunk is one of them
    looked_at = [replace(found, refused=_refusal(found, limits, whole)) for found in candidates]
    bases = dict.fromkeys(found.base for found in candidates)
    return tuple(
        found
        for base in bases
        for found in _chosen([candidate for candidate in looked_at if candidate.base == base])
    )


def _chosen(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Those of one base."""
    fitting = [found for found in candidates if found.refused is None]
    # Without a delta, devices do what those do that hold nothing.
    best = min(fitting or candidates, key=lambda found: _order(found.price))
    return (replace(found, chosen=found is best) for found in candidates)


def _refusal(found: Candidate, limits: Limits, whole: Price) -> Reason | None:
    if found.refused or found.base is None:
        return found.refused or _unfit(found, limits)
    if found.price.method is not Method.FULL and _order(found.price) > _order(whole):
        return Reason.LARGER
    return _unfit(found, limits)


def _unfit(found: Candidate, limits: Limits) -> Reason | None:
    # With zchunk, devices ask for no more ahead than they have memory for.
    if found.price.method is not Method.ZCHUNK and found.price.memory_bytes > limits.memory:
        return Reason.MEMORY
    if found.price.method is Method.RDIFF and not limits.has_spare_space:
        return Reason.SPACE
    return None


def _order(price: Price) -> tuple[int, int]:
    """Fewest bytes; of equals what asks the least of devices and server."""
    return price.fetched_bytes, [Method.ZCHUNK, Method.RDIFF, Method.FULL].index(price.method)
