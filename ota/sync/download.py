"""Chunks of a published .zck, handed out in order whatever the order in which their bytes arrive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ota.errors import NetworkError, OtaError, TrustError
from ota.formats.zchunk import Chunk, Decoder, Header
from ota.interfaces import Event, Progress, RangeSource
from ota.sync import plan as planning

MAX_ROUNDS: Final = 3  # a chunk that is wrong after so many fetches or writes is given up
MAX_WRONG: Final = 8  # chunks at the start, all wrong: this is another file


class Download:
    """Some chunks of a .zck. What comes before its turn is held as it came, coded.

    Args:
        header: what the server's bytes are proved against.
        numbers: the chunks, ascending; each is taken once, in this order.
        source: the .zck; None where nothing can be fetched.
        progress: is told of every chunk.
    """

    def __init__(
        self, header: Header, numbers: Sequence[int], source: RangeSource | None, progress: Progress
    ) -> None:
        self._header = header
        self._numbers = numbers
        self._source = source
        self._progress = progress
        self._decoder = Decoder(header)
        self._total = sum(map(header.coded_length, numbers))
        self._error: OtaError | None = None  # the last refusal of the server's bytes
        self._begin()

    def check(self) -> None:
        """Fetch until one chunk is proved. To be called first.

        Raises:
            NetworkError: the server cannot be asked.
            TrustError: "digest-mismatch": it serves something else.
        """
        wrong = 0
        for _ in range(MAX_ROUNDS):
            for number in self._numbers[:MAX_WRONG]:
                coded = self._coded(number)
                if self._prove(number, coded) is not None:
                    self._early[number] = coded
                    return
                self._wrong.add(number)
                wrong += 1
                if wrong == MAX_WRONG:
                    raise self.refusal(len(self._numbers))
            self._begin()
        if self._numbers:
            raise self.refusal(len(self._numbers))

    def take(self, number: int) -> bytes | None:
        """The plain bytes of the next chunk; None where the server's are not the signed ones."""
        self._done += self._header.coded_length(number)
        self._progress(Event("fetch", self._done, self._total))
        return None if number in self._wrong else self._prove(number, self._coded(number))

    def refusal(self, count: int) -> TrustError:
        """What to raise where so many chunks are wrong for good."""
        refused = TrustError(
            "digest-mismatch",
            f"the server's bytes of {count} chunks are not the signed ones",
            expected=self._error and self._error.expected,
            found=self._error and self._error.found,
            hint="is the .zck on the server the one that this package was built with?",
        )
        refused.__cause__ = self._error
        return refused

    def _begin(self) -> None:
        self._early: dict[int, bytes] = {}  # coded chunks whose turn has not come
        self._wrong: set[int] = set()  # chunks that `check` found wrong
        self._done = 0  # coded bytes that were taken
        self._stream = self._receive()

    def _coded(self, number: int) -> bytes:
        while number not in self._early:
            chunk, coded = next(self._stream, (None, b""))
            assert chunk, f"the source ended before chunk {number}"
            self._early[chunk.number] = coded
        if number == self._numbers[-1]:
            next(self._stream, None)  # all was delivered: let the source come to its end
        return self._early.pop(number)

    def _prove(self, number: int, coded: bytes) -> bytes | None:
        try:
            return self._decoder.decode(self._header.chunk(number), coded)
        except OtaError as error:
            self._error = error
            return None

    def _receive(self) -> Iterator[tuple[Chunk, bytes]]:
        """Put the source's pieces together: (chunk, its coded bytes), in the order of their completion."""
        if self._source is None:
            raise NetworkError(
                "connect", "chunks are missing and no URL is known", found=f"{len(self._numbers)} chunks"
            )
        starts = [self._header.chunk(number).start for number in self._numbers]
        partial: dict[int, _Partial] = {}
        for offset, data in self._source.fetch(planning.ranges(self._header, self._numbers)):
            view = memoryview(data)
            while view:
                chunk = self._header.chunk(self._numbers[bisect_right(starts, offset) - 1])
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
