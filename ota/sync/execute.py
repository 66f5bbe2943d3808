"""Make a target match a manifest, as planned: the only place that writes slots from seeds and ranges.

Nothing is written that was not proved: a chunk of a seed by sha256 of its bytes, a fetched one by its
coded and its plain digest. A chunk of a seed that is not what the plan thought becomes a fetched one.
At the end the whole image is read back from the medium and proved again, what was kept included.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ota.errors import DeviceError, NetworkError, OtaError, TrustError
from ota.formats.zchunk import Chunk, Decoder, Header
from ota.interfaces import BlockTarget, Cost, Event, Progress, RangeSource
from ota.sync import plan as planning
from ota.sync.plan import Action, Plan, Step

BLOCK: Final = 1 << 20  # bytes; what is read or written at a time, at least one chunk
MAX_ROUNDS: Final = 3  # a chunk that is wrong after so many fetches or writes is given up


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
        self._awaited = set(plan.numbers(Action.FETCH))
        self._fetched = self._fetch(plan.numbers(Action.FETCH))
        self._first: _Fetched | None = None
        self._written = 0

    def check(self) -> None:
        """Fetch and prove the first missing chunk: the last chance to fail before a write.

        Raises:
            NetworkError, TrustError: the server cannot serve this update.
        """
        self._first = next(self._fetched, None)

    def run(self, target: BlockTarget, seeds: Sequence[BlockTarget]) -> Cost:
        """Fetch, copy, zero; read back; mend what is wrong.

        Args:
            target: the slot, writable.
            seeds: what the plan's seed numbers mean.

        Raises:
            OtaError: the target is not what it should be; it holds proved chunks and old ones.
        """
        bad = self._carry_out(target, seeds)
        for _ in range(MAX_ROUNDS):
            for fetched in self._fetch(bad):
                self._put(target, fetched)
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

    def _carry_out(self, target: BlockTarget, seeds: Sequence[BlockTarget]) -> list[int]:
        """Take all steps in order of offset, so that the medium is written from front to back.

        Returns:
            Chunks that no seed held as its manifest says.
        """
        bad: list[int] = []
        for step in self._plan.steps:
            if step.action is Action.COPY:
                bad += self._copy(target, seeds[step.seed], step)
            elif step.action is Action.ZERO:
                self._zero(target, step)
            elif step.action is Action.FETCH:
                self._write_fetched(target, step)
            self._progress(Event("write", self._header.offset(step.stop), self._header.image_size))
        return bad

    def _write_fetched(self, target: BlockTarget, step: Step) -> None:
        """Take chunks as they come, until those of this step are there; a server may answer in any order."""
        for number in range(step.first, step.stop):
            while number in self._awaited:
                self._put(target, self._first or next(self._fetched))
                self._first = None

    def _put(self, target: BlockTarget, fetched: _Fetched) -> None:
        for number in fetched.numbers:
            self._write(target, self._header.offset(number), fetched.data)
        self._awaited.difference_update(fetched.numbers)

    def _copy(self, target: BlockTarget, seed: BlockTarget, step: Step) -> Iterator[int]:
        shift = step.offset - self._header.offset(step.first)
        for first, stop in _blocks(self._header, step.first, step.stop):
            start = self._header.offset(first)
            length = self._header.offset(stop) - start
            try:
                data = seed.read_at(start + shift, length)
            except DeviceError:
                # A seed is a help, never a need: what it cannot give is fetched.
                yield from range(first, stop)
                continue
            bad = list(wrong_chunks(self._header, first, stop, data))
            yield from bad
            self._write_good(target, first, stop, data, set(bad))

    def _write_good(self, target: BlockTarget, first: int, stop: int, data: bytes, bad: set[int]) -> None:
        base = self._header.offset(first)
        if not bad:
            return self._write(target, base, data)
        for number in range(first, stop):
            if number not in bad:
                start, end = self._header.offset(number), self._header.offset(number + 1)
                self._write(target, start, data[start - base : end - base])

    def _zero(self, target: BlockTarget, step: Step) -> None:
        for first, stop in _blocks(self._header, step.first, step.stop):
            start = self._header.offset(first)
            self._write(target, start, bytes(self._header.offset(stop) - start))

    def _write(self, target: BlockTarget, offset: int, data: bytes) -> None:
        target.write_at(offset, data)
        self._written += len(data)

    def _fetch(self, numbers: Sequence[int]) -> Iterator[_Fetched]:
        """Fetch these chunks, each proved; a wrong one is asked for again."""
        wanted = planning.downloads(self._header, numbers)
        if wanted and self._source is None:
            raise NetworkError(
                "connect", "chunks are missing and no URL is known", found=f"{len(wanted)} chunks"
            )
        decoder = Decoder(self._header)
        total = sum(chunk.stop - chunk.start for chunk in map(self._header.chunk, wanted))
        done = 0
        error: OtaError | None = None
        for _ in range(MAX_ROUNDS):
            missing = sorted(wanted)
            if not missing:
                return
            for chunk, coded in self._receive(missing):
                try:
                    plain = decoder.decode(chunk, coded)
                except OtaError as refused:
                    error = refused
                    continue
                yield _Fetched(wanted.pop(chunk.number), plain)
                done += len(coded)
                self._progress(Event("fetch", done, total))
        if wanted:
            raise TrustError(
                "digest-mismatch",
                f"the server's bytes of {len(wanted)} chunks are not the signed ones",
                expected=error and error.expected,
                found=error and error.found,
                hint="is the .zck on the server the one that this package was built with?",
            ) from error

    def _receive(self, numbers: list[int]) -> Iterator[tuple[Chunk, bytes]]:
        """Put the source's pieces together: (chunk, its coded bytes), in the order of their completion."""
        assert self._source is not None
        chunks = [self._header.chunk(number) for number in numbers]
        starts = [chunk.start for chunk in chunks]
        partial: dict[int, _Partial] = {}
        for offset, data in self._source.fetch(planning.ranges(self._header, numbers)):
            view = memoryview(data)
            while view:
                chunk = chunks[bisect_right(starts, offset) - 1]
                part = view[: chunk.stop - offset]
                if len(part) == chunk.stop - chunk.start:
                    yield chunk, bytes(part)
                else:
                    buffer = partial.setdefault(chunk.number, _Partial(bytearray(chunk.stop - chunk.start)))
                    buffer.put(offset - chunk.start, part)
                    if buffer.is_complete():
                        yield chunk, bytes(partial.pop(chunk.number).data)
                offset += len(part)
                view = view[len(part) :]


@dataclass(frozen=True, slots=True)
class _Fetched:
    numbers: tuple[int, ...]  # the chunks that have these bytes
    data: bytes


@dataclass(slots=True)
class _Partial:
    """A chunk of which some bytes are here. The source gives each byte once, so counting them suffices."""

    data: bytearray
    filled: int = 0

    def put(self, offset: int, piece: memoryview) -> None:
        self.data[offset : offset + len(piece)] = piece
        self.filled += len(piece)

    def is_complete(self) -> bool:
        return self.filled == len(self.data)


def damaged(header: Header, target: BlockTarget, progress: Progress) -> list[int]:
    """Read what the manifest says the target holds; returns the chunks that differ."""
    bad: list[int] = []
    number, offset = 0, 0
    current = hashlib.sha256()
    for block in target.scan(0, header.image_size):
        start = 0
        while start < len(block):
            end = min(header.offset(number + 1) - offset, len(block))
            current.update(block[start:end])
            if offset + end == header.offset(number + 1):
                if current.digest() != header.digest(number):
                    bad.append(number)
                number += 1
                current = hashlib.sha256()
            start = end
        offset += len(block)
        progress(Event("verify", offset, header.image_size))
    return bad


def wrong_chunks(header: Header, first: int, stop: int, data: bytes) -> Iterator[int]:
    """Of the chunks `[first, stop)`, whose bytes `data` should be, those whose sha256 differs."""
    view = memoryview(data)
    start = 0
    for number in range(first, stop):
        end = header.offset(number + 1) - header.offset(first)
        if hashlib.sha256(view[start:end]).digest() != header.digest(number):
            yield number
        start = end


def _blocks(header: Header, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut chunks `[first, stop)` into runs of at most BLOCK bytes, or of one chunk."""
    start, limit = first, header.offset(first) + BLOCK
    for number in range(first, stop):
        if number > start and header.offset(number + 1) > limit:
            yield start, number
            start, limit = number, header.offset(number) + BLOCK
    if start < stop:
        yield start, stop
