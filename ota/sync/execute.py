"""Make a target match a manifest, as planned: the only place that writes slots from seeds and ranges.

The target is written strictly from front to back. Nothing is written that was not proved: a chunk of a
seed by sha256 of its bytes, a fetched one by its coded and its plain digest. A chunk that is not what the
plan thought is left out and fetched afterwards. At the end the whole image is read back from the medium and
proved again, what was kept included.

A power cut costs no more than MAX_UNSYNCED and `plan.MAX_SAVED` bytes, and what the source had asked for
ahead: what was fetched, or moved within the target, is made durable before more of it is at stake.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ota.errors import DeviceError
from ota.formats.zchunk import Header
from ota.interfaces import BlockTarget, Cost, Event, Progress, RangeSource
from ota.sync import plan as planning
from ota.sync import survey
from ota.sync.download import MAX_ROUNDS, Download
from ota.sync.plan import OWN, SAVED, Action, Plan, Save, Step

MAX_UNSYNCED: Final = 512 << 10  # bytes as coded; at least one chunk, or one block that is moved


class Sync:
    """One slot on its way to its manifest.

    Args:
        plan: what to do.
        source: the published .zck; None where nothing can be fetched.
        progress: is told of every block.
    """

    def __init__(self, plan: Plan, source: RangeSource | None, progress: Progress) -> None:
        self._header = plan.header
        self._plan = plan
        self._source = source
        self._progress = progress
        self._download = Download(plan.header, plan.numbers(Action.FETCH), source, progress)
        self._written = 0
        self._unsynced = 0  # coded bytes that a power cut would cost

    def check(self) -> None:
        """Fetch until a missing chunk is proved: the last chance to fail before a write.

        Raises:
            NetworkError, TrustError: the server cannot serve this update.
        """
        self._download.check()

    def run(self, target: BlockTarget, seeds: Sequence[BlockTarget | None]) -> Cost:
        """Fetch, copy, zero; read back; mend what is wrong.

        Args:
            target: the slot, writable.
            seeds: what the plan's seed numbers mean; None for one that is gone.

        Raises:
            OtaError: the target is not what it should be; it holds proved chunks and old ones.
        """
        bad = self._carry_out(target, seeds)
        for _ in range(MAX_ROUNDS):
            self._mend(target, bad)
            target.sync()
            bad = damaged(self._header, target, self._progress)
            if not bad:
                return self._cost()
        chunk = self._header.chunk(bad[0])
        raise DeviceError(
            "slot-damaged",
            f"the slot does not keep what is written at {chunk.offset}",
            expected=chunk.digest.hex(),
            hint="the medium may be worn out",
        )

    def _cost(self) -> Cost:
        counted = {action: self._plan.bytes_of(action) for action in Action}
        return Cost(
            kept_bytes=counted[Action.KEEP],
            copied_bytes=counted[Action.COPY],
            zero_bytes=counted[Action.ZERO],
            written_bytes=self._written,
            verified_bytes=self._header.image_size,
        )

    def _carry_out(self, target: BlockTarget, seeds: Sequence[BlockTarget | None]) -> list[int]:
        """Take all steps in order of offset.

        Returns:
            Chunks that were not what the plan thought, and are not written.
        """
        places = _Places(target, seeds, _Saves(self._plan, target))
        bad: list[int] = []
        for step in self._plan.steps:
            for first, stop in self._blocks(step):
                places.saves.read_before(stop)
                bad += self._make(places, step, first, stop)
            self._progress(Event("write", self._header.offset(step.stop), self._header.image_size))
        return bad

    def _blocks(self, step: Step) -> Iterator[tuple[int, int]]:
        """Cut a step into what is written at a time: chunks `[first, stop)`."""
        if step.action is Action.ZERO:
            yield step.first, step.stop
        elif step.action is Action.COPY and step.seed != SAVED:
            yield from _blocks(self._header, step.first, step.stop)
        elif step.action is not Action.KEEP:
            yield from ((number, number + 1) for number in range(step.first, step.stop))

    def _make(self, places: _Places, step: Step, first: int, stop: int) -> list[int]:
        """Write the chunks `[first, stop)` of a step; returns those that cannot be had there."""
        if step.action is Action.ZERO:
            return self._zero(places.target, first, stop)
        data = self._get(places, step, first, stop)
        if data is None:
            return list(range(first, stop))
        if step.action is Action.FETCH or step.seed in (OWN, SAVED):
            self._stake(places.target, first, stop)
        bad = [] if step.action is Action.FETCH else list(wrong_chunks(self._header, first, stop, data))
        self._write_good(places.target, first, stop, data, set(bad))
        return bad

    def _get(self, places: _Places, step: Step, first: int, stop: int) -> bytes | None:
        if step.action is Action.FETCH:
            return self._download.take(first)
        if step.seed == SAVED:
            return places.saves.take(first)
        seed = places.target if step.seed == OWN else places.seeds[step.seed]
        start, end = self._header.offset(first), self._header.offset(stop)
        return _read(seed, step.offset + start - self._header.offset(step.first), end - start)

    def _zero(self, target: BlockTarget, first: int, stop: int) -> list[int]:
        start, end = self._header.offset(first), self._header.offset(stop)
        target.zero(start, end - start)
        self._written += end - start
        return []

    def _write_good(self, target: BlockTarget, first: int, stop: int, data: bytes, bad: set[int]) -> None:
        base = self._header.offset(first)
        if not bad:
            return self._write(target, base, data)
        for number in range(first, stop):
            if number not in bad:
                start, end = self._header.offset(number), self._header.offset(number + 1)
                self._write(target, start, data[start - base : end - base])

    def _write(self, target: BlockTarget, offset: int, data: bytes) -> None:
        target.write_at(offset, data)
        self._written += len(data)

    def _stake(self, target: BlockTarget, first: int, stop: int) -> None:
        """Before chunks are written that would have to be fetched if a power cut lost them."""
        coded = sum(map(self._header.coded_length, range(first, stop)))
        if self._unsynced and self._unsynced + coded > MAX_UNSYNCED:
            target.flush()
            self._unsynced = 0
        self._unsynced += coded

    def _mend(self, target: BlockTarget, bad: Sequence[int]) -> None:
        """Fetch these chunks, equal ones once; a wrong one is asked for again."""
        missing = planning.downloads(self._header, bad)
        for _ in range(MAX_ROUNDS):
            download = Download(self._header, sorted(missing), self._source, self._progress)
            download.check()
            for number in sorted(missing):
                if (data := download.take(number)) is not None:
                    self._stake(target, number, number + 1)
                    for place in missing.pop(number):
                        self._write(target, self._header.offset(place), data)
            if not missing:
                return
        raise download.refusal(len(missing))


@dataclass(frozen=True, slots=True)
class _Places:
    """What a step copies from."""

    target: BlockTarget
    seeds: Sequence[BlockTarget | None]
    saves: _Saves


class _Saves:
    """Old content of the target that is needed after its place was written over."""

    def __init__(self, plan: Plan, target: BlockTarget) -> None:
        self._header = plan.header
        self._target = target
        self._coming = deque(plan.saves)
        self._data: dict[int, bytes] = {}  # chunk -> its bytes
        self._size = 0  # bytes of `_data`

    def read_before(self, stop: int) -> None:
        """Read what the chunks before `stop` are about to be written over.

        If anything, as much as there is room for: reading makes the target write what it had collected.
        """
        if self._is_due(stop):
            while self._is_due(stop) or self._fits():
                self._read(self._coming.popleft())

    def take(self, number: int) -> bytes | None:
        """What was saved for a chunk; None where it could not be read."""
        data = self._data.pop(number, None)
        self._size -= len(data or b"")
        return data

    def _is_due(self, stop: int) -> bool:
        return bool(self._coming) and self._coming[0].due < stop

    def _fits(self) -> bool:
        if not self._coming:
            return False
        return self._size + planning.length(self._header, self._coming[0].number) <= planning.MAX_SAVED

    def _read(self, save: Save) -> None:
        data = _read(self._target, save.offset, planning.length(self._header, save.number))
        if data is not None:
            self._data[save.number] = data
            self._size += len(data)


def damaged(header: Header, target: BlockTarget, progress: Progress) -> list[int]:
    """Read what the manifest says the target holds; returns the chunks that differ."""
    looked = survey.look([header], target, progress)
    return [number for number, (_, is_right) in enumerate(looked) if not is_right]


def wrong_chunks(header: Header, first: int, stop: int, data: bytes) -> Iterator[int]:
    """Of the chunks `[first, stop)`, whose bytes `data` should be, those whose sha256 differs."""
    view = memoryview(data)
    start = 0
    for number in range(first, stop):
        end = header.offset(number + 1) - header.offset(first)
        if hashlib.sha256(view[start:end]).digest() != header.digest(number):
            yield number
        start = end


def _read(seed: BlockTarget | None, offset: int, size: int) -> bytes | None:
    """A seed is a help, never a need: what it cannot give is fetched."""
    try:
        return seed.read_at(offset, size) if seed else None
    except DeviceError:
        return None


def _blocks(header: Header, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut chunks `[first, stop)` into runs of at most `plan.BLOCK` bytes, or of one chunk."""
    start, limit = first, header.offset(first) + planning.BLOCK
    for number in range(first, stop):
        if number > start and header.offset(number + 1) > limit:
            yield start, number
            start, limit = number, header.offset(number) + planning.BLOCK
    if start < stop:
        yield start, stop
