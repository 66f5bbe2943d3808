"""Decide how each chunk of a slot comes to be: keep, copy, zero or fetch. Pure: headers in, a value out.

What target and seeds hold is taken from their manifests, so it is a hint; the executor proves every
byte and fetches what the hint got wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from ota.formats.zchunk import Header
from ota.interfaces import Range

# A zero chunk is one frame of one run-length block or, at most, of a few bytes.
_MAX_CODED_ZEROS: Final = 64  # bytes


class Action(StrEnum):
    """How a chunk comes into the target."""

    KEEP = "keep"  # it is there already
    COPY = "copy"  # from a seed
    ZERO = "zero"  # its bytes are all zero
    FETCH = "fetch"  # from the published .zck


@dataclass(frozen=True, slots=True)
class Step:
    """The same action for neighbouring chunks `[first, stop)`, which are neighbours in a seed too."""

    action: Action
    first: int  # chunk number
    stop: int  # chunk number
    seed: int = 0  # COPY: which seed
    offset: int = 0  # COPY: bytes, where the first chunk lies in the seed


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen to a slot, in order of offset."""

    header: Header
    steps: tuple[Step, ...]

    def bytes_of(self, action: Action) -> int:
        """Image bytes that come to be this way."""
        offset = self.header.offset
        return sum(offset(step.stop) - offset(step.first) for step in self.steps if step.action is action)

    def numbers(self, action: Action) -> list[int]:
        """The chunks that come to be this way."""
        return [n for step in self.steps if step.action is action for n in range(step.first, step.stop)]


def make(header: Header, held: Iterable[tuple[int, bytes]], seeds: Sequence[Header]) -> Plan:
    """Plan how to bring a target to `header`.

    Args:
        header: what the target shall hold.
        held: (offset, sha256) of chunks that the target holds already, ascending by offset.
        seeds: manifests of what can be copied from, the preferred first.
    """
    kept = set(_kept(header, held))
    sources = _find(header, kept, seeds)
    actions = (_decide(header, number, number in kept, sources) for number in range(len(header)))
    return Plan(header, tuple(_merge(header, actions)))


def downloads(header: Header, numbers: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Which chunks to fetch so that all of `numbers` are served: equal chunks are fetched once.

    Returns:
        The chunk to fetch -> the chunks (itself included) that its bytes are for.
    """
    by_digest: dict[bytes, list[int]] = {}
    for number in numbers:
        by_digest.setdefault(header.digest(number), []).append(number)
    return {same[0]: tuple(same) for same in by_digest.values()}


def ranges(header: Header, numbers: Iterable[int]) -> list[Range]:
    """Where these chunks lie in the .zck, neighbours merged.

    Args:
        numbers: ascending.
    """
    merged: list[Range] = []
    for number in numbers:
        chunk = header.chunk(number)
        if merged and merged[-1].stop == chunk.start:
            merged[-1] = Range(merged[-1].start, chunk.stop)
        else:
            merged.append(Range(chunk.start, chunk.stop))
    return merged


def held_by(header: Header) -> Iterator[tuple[int, bytes]]:
    """(offset, sha256) of every chunk that a slot with this manifest should hold."""
    return ((header.offset(number), header.digest(number)) for number in range(len(header)))


def _kept(header: Header, held: Iterable[tuple[int, bytes]]) -> Iterator[int]:
    number, start = 0, 0
    for offset, digest in held:
        while start < offset and number < len(header):
            number += 1
            start = header.offset(number)
        if start == offset and number < len(header) and header.digest(number) == digest:
            yield number


def _find(header: Header, kept: set[int], seeds: Sequence[Header]) -> dict[bytes, tuple[int, int]]:
    """Digest of each wanted chunk that a seed has -> (seed, offset in it)."""
    wanted = {header.digest(number) for number in range(len(header)) if number not in kept}
    found: dict[bytes, tuple[int, int]] = {}
    for seed, manifest in enumerate(seeds):
        for offset, digest in held_by(manifest):
            if digest in wanted:
                found.setdefault(digest, (seed, offset))
    return found


def _decide(
    header: Header, number: int, is_kept: bool, sources: dict[bytes, tuple[int, int]]
) -> tuple[Action, int, int]:
    if is_kept:
        return Action.KEEP, 0, 0
    digest = header.digest(number)
    if header.coded_length(number) <= _MAX_CODED_ZEROS:
        length = header.offset(number + 1) - header.offset(number)
        if digest == _digest_of_zeros(length):
            return Action.ZERO, 0, 0
    if digest in sources:
        return Action.COPY, *sources[digest]
    return Action.FETCH, 0, 0


@cache
def _digest_of_zeros(length: int) -> bytes:
    return hashlib.sha256(bytes(length)).digest()


def _merge(header: Header, actions: Iterable[tuple[Action, int, int]]) -> Iterator[Step]:
    last: Step | None = None
    for number, (action, seed, offset) in enumerate(actions):
        if last and _continues(header, last, number, action, seed, offset):
            last = Step(action, last.first, number + 1, last.seed, last.offset)
            continue
        if last:
            yield last
        last = Step(action, number, number + 1, seed, offset)
    if last:
        yield last


def _continues(header: Header, last: Step, number: int, action: Action, seed: int, offset: int) -> bool:
    if action is not last.action:
        return False
    reached = last.offset + header.offset(number) - header.offset(last.first)
    return action is not Action.COPY or (seed == last.seed and offset == reached)
