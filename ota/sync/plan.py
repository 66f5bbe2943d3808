"""Decide how each chunk of a slot comes to be: keep, zero, copy or fetch. Pure: headers in, a value out.

The target is written from front to back. So its own old content can be copied from as long as it was not
written over, or, within a bound, if it is saved into memory before; and what was written stays as it is.

What target and seeds hold is taken from their manifests, so it is a hint; the executor proves every
byte and fetches what the hint got wrong.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from operator import attrgetter
from typing import Final

from ota.formats.zchunk import HashType, Header
from ota.interfaces import Range
from ota.sync.lookup import Lookup

BLOCK: Final = 768 << 10  # bytes; what is copied at a time, at least one chunk
MAX_SAVED: Final = 512 << 10  # bytes of old content in memory; a power cut costs them
MAX_EARLY: Final = 2816 << 10  # bytes that a source asks for ahead, and that may come before their turn

OWN: Final = -1  # as `Step.seed`: the target as it is at this moment
SAVED: Final = -2  # as `Step.seed`: what was saved of the target's old content

_DIGEST: Final = HashType.SHA256.size

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
    seed: int = 0  # COPY: which seed, OWN or SAVED
    offset: int = 0  # COPY: bytes, where the first chunk lies (SAVED: lay) in the seed


@dataclass(frozen=True, slots=True)
class Save:
    """A chunk to be read from the target's old content before something else is written there."""

    offset: int  # bytes, in the old content
    number: int  # the chunk that it is for
    due: int  # the first chunk that is written over it


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen to a slot, in order of offset."""

    header: Header
    steps: tuple[Step, ...]
    saves: tuple[Save, ...] = ()  # in the order in which they are due, which is that of their offsets

    @property
    def memory(self) -> int:
        """Bytes that are held at most, beside the plan itself: blocks on their way."""
        fetched = [self.header.chunk(number) for number in self.numbers(Action.FETCH)]
        decoded = max((chunk.stop - chunk.start + chunk.length for chunk in fetched), default=0)
        saved = sum(length(self.header, save.number) for save in self.saves)
        return BLOCK + min(saved, MAX_SAVED) + decoded + (MAX_EARLY if fetched else 0)

    def bytes_of(self, action: Action) -> int:
        """Image bytes that come to be this way."""
        offset = self.header.offset
        return sum(offset(step.stop) - offset(step.first) for step in self.steps if step.action is action)

    def numbers(self, action: Action) -> list[int]:
        """The chunks that come to be this way."""
        return [n for step in self.steps if step.action is action for n in range(step.first, step.stop)]


class Held:
    """What a target holds: chunks by place and digest, packed.

    Args:
        chunks: (offset, sha256), ascending by offset.
    """

    def __init__(self, chunks: Iterable[tuple[int, bytes]]) -> None:
        self._offsets = array("Q")
        self._digests = bytearray()
        for offset, digest in chunks:
            self._offsets.append(offset)
            self._digests += digest

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return ((offset, self._digest(number)) for number, offset in enumerate(self._offsets))

    def is_whole(self, header: Header) -> bool:
        """Whether nothing has to be done to make the target match a manifest."""
        return sum(1 for _ in _kept(header, self)) == len(header)

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(len(self._offsets), self._digest)

    def find(self, digest: bytes) -> int | None:
        """Where such a chunk lies. Of equal ones the last: it is written over last."""
        numbers = list(self._lookup.find(digest))
        return self._offsets[numbers[-1]] if numbers else None

    def _digest(self, number: int) -> bytes:
        return bytes(self._digests[number * _DIGEST : (number + 1) * _DIGEST])


_Origin = tuple[Action, int, int]  # as in Step: action, seed, offset


def make(header: Header, held: Held, seeds: Sequence[Header]) -> Plan:
    """Plan how to bring a target to `header`.

    Args:
        header: what the target shall hold.
        held: what the target holds already.
        seeds: manifests of what can be copied from, the preferred first.
    """
    places = _Places(header, held, seeds)
    origins = _Origins(map(places.origin, range(len(header))))
    saves = _choose(header, places.savable)
    for save in saves:
        origins.set(save.number, (Action.COPY, SAVED, save.offset))
    return Plan(header, tuple(_merge(header, origins)), tuple(saves))


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


def length(header: Header, number: int) -> int:
    """Of a chunk in the image, bytes."""
    return header.offset(number + 1) - header.offset(number)


def held_by(header: Header) -> Iterator[tuple[int, bytes]]:
    """(offset, sha256) of every chunk that a slot with this manifest should hold."""
    return ((header.offset(number), header.digest(number)) for number in range(len(header)))


class _Origins:
    """An _Origin for each chunk, packed."""

    def __init__(self, origins: Iterable[_Origin]) -> None:
        self._actions: list[Action] = []
        self._seeds = array("h")
        self._offsets = array("Q")
        for action, seed, offset in origins:
            self._actions.append(action)
            self._seeds.append(seed)
            self._offsets.append(offset)

    def __iter__(self) -> Iterator[_Origin]:
        return zip(self._actions, self._seeds, self._offsets, strict=True)

    def set(self, number: int, origin: _Origin) -> None:
        self._actions[number], self._seeds[number], self._offsets[number] = origin


class _Places:
    """Where chunks can be had. They are asked for from front to back, as the target is written.

    Attributes:
        savable: chunks that can be had from old content only if it is saved.
    """

    def __init__(self, header: Header, held: Held, seeds: Sequence[Header]) -> None:
        self._header = header
        self._held = held
        self._seeds = seeds
        self._is_kept = bytearray(len(header))
        for number in _kept(header, held):
            self._is_kept[number] = True
        self._written = array("I", (number for number, kept in enumerate(self._is_kept) if not kept))
        self.savable: list[Save] = []

    # Each is made when it is first needed: where nothing changes, none is.

    @cached_property
    def _in_seeds(self) -> list[Lookup]:
        return [Lookup(len(seed), seed.digest) for seed in self._seeds]

    @cached_property
    def _in_image(self) -> Lookup:
        return Lookup(len(self._header), self._header.digest)

    def origin(self, number: int) -> _Origin:
        """The best place that there is; FETCH for what may be saved, until that is chosen."""
        if self._is_kept[number]:
            return Action.KEEP, 0, 0
        if _is_zero(self._header, number):
            return Action.ZERO, 0, 0
        digest = self._header.digest(number)
        for seed, lookup in enumerate(self._in_seeds):
            for found in lookup.find(digest):
                return Action.COPY, seed, self._seeds[seed].offset(found)
        return self._own_origin(number, digest)

    def _own_origin(self, number: int, digest: bytes) -> _Origin:
        old = self._held.find(digest)
        size = length(self._header, number)
        if old is not None and (due := self._due(old, size)) >= number:
            return Action.COPY, OWN, old
        first = next(self._in_image.find(digest))
        if first < number:
            return Action.COPY, OWN, self._header.offset(first)
        if old is not None and size <= MAX_SAVED:
            self.savable.append(Save(old, number, due))
        return Action.FETCH, 0, 0

    def _due(self, offset: int, size: int) -> int:
        """The first chunk that is written over these bytes of old content; `len(header)` if none is."""
        header = self._header
        touched = bisect_right(range(len(header) + 1), offset, key=header.offset) - 1
        place = bisect_left(self._written, touched)
        if place < len(self._written) and header.offset(self._written[place]) < offset + size:
            return self._written[place]
        return len(header)


def _kept(header: Header, held: Iterable[tuple[int, bytes]]) -> Iterator[int]:
    number, start = 0, 0
    for offset, digest in held:
        while start < offset and number < len(header):
            number += 1
            start = header.offset(number)
        if start == offset and number < len(header) and header.digest(number) == digest:
            yield number


def _choose(header: Header, savable: Iterable[Save]) -> list[Save]:
    """What is saved, in the order in which it is due: never more than MAX_SAVED bytes at a time.

    A saved chunk is held from the moment when its place is written over until it was written itself. Where
    that is too much, those that would be held the longest are given up, so that far moves do not keep out
    near ones.
    """
    chosen: list[Save] = []
    held: list[Save] = []  # ascending by `number`
    total = 0  # bytes of `held`
    for save in sorted(savable, key=attrgetter("offset")):
        while held and held[0].number < save.due:
            chosen.append(held.pop(0))
            total -= length(header, chosen[-1].number)
        insort(held, save, key=attrgetter("number"))
        total += length(header, save.number)
        while total > MAX_SAVED:
            total -= length(header, held.pop().number)
    return sorted(chosen + held, key=attrgetter("offset"))


def _is_zero(header: Header, number: int) -> bool:
    if header.coded_length(number) > _MAX_CODED_ZEROS:
        return False
    return header.digest(number) == _digest_of_zeros(length(header, number))


@cache
def _digest_of_zeros(length: int) -> bytes:
    return hashlib.sha256(bytes(length)).digest()


def _merge(header: Header, origins: Iterable[_Origin]) -> Iterator[Step]:
    last: Step | None = None
    for number, (action, seed, offset) in enumerate(origins):
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
