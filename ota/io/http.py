"""Byte ranges of one published file over HTTP(S): several requests in flight, delivered in order of offset.

The first answers tell what the server can do (several ranges in a request, one, or none at all); it is
asked in the best way that works, and that is remembered. What broke off is asked for again, and only that.
The caller proves every byte by digest.
"""

from __future__ import annotations

import logging
import time
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

from ota.errors import DeviceError, NetworkError
from ota.formats import multipart
from ota.interfaces import Range, Reader
from ota.io import answer
from ota.io.answer import Ability, LessError
from ota.io.locator import Locator
from ota.io.network import CONNECTIONS, BrokenError, ExpiredError, Network, origin
from ota.io.pace import Pace
from ota.io.ranges import Missing, batches, merge
from ota.io.servers import Facts, Servers
from ota.io.window import Window

# Loading these takes as long as looking at a slot that needs nothing: they wait until something is fetched.
if TYPE_CHECKING:
    from ota.io.session import Session
    from ota.io.transfer import Transfer

MAX_RANGES: Final = (
    150  # per request, as SWUpdate asks by default; Apache stops at 200, nginx at 8 kB of header
)
REQUEST: Final = 704 << 10  # bytes that one request asks for, at most: a quarter of what is in flight

_PART: Final = 100  # bytes that another part of a multipart answer costs; another request costs more
_MAX_HOLE: Final = 1 << 14  # bytes; a round trip saved is worth no more of somebody's data plan
_AT_ONCE: Final = 2  # requests in flight in any case: while one is answered, the next is on its way
_TURN_S: Final = 1.0  # how often silence is looked at
_JOIN_S: Final = 1.0  # for threads that were told to end; one that waits for an answer's head ends by itself
_FAILURES: Final = (BrokenError, ExpiredError, LessError, NetworkError)

_log = logging.getLogger(__name__)


class HttpSource:
    """A published file as a RangeSource; one fetch at a time.

    Args:
        url: http or https.
        size: the file's length, bytes; an answer that says otherwise comes from another file.
        servers: what is known of servers.
        request: bytes that one request asks for, at most.

    Attributes:
        requests: made so far.
    """

    def __init__(
        self, url: str, size: int | None, network: Network, servers: Servers, request: int = REQUEST
    ) -> None:
        self._locator = Locator(url, network)
        self._size = size
        self._network = network
        self._servers = servers
        self._request = request
        self._session: Session | None = None
        self._pace = Pace(network.max_rate)
        self._flying: list[Transfer] = []  # by offset; the first one is what the caller waits for
        self._todo: deque[list[Range]] = deque()  # requests not made yet, by offset
        self.requests = 0
        self._recall()

    @property
    def received(self) -> int:
        """Bytes of the file that arrived, wanted or not."""
        return self._pace.received

    def close(self) -> None:
        """End what is in flight; remember what the server told."""
        self._cancel()
        if self._session is None:
            return
        self._session.close()
        self._session = None
        if self._answered:
            facts = Facts(self._ability, self._window.rtt_s, self._window.rate)
            try:
                self._servers.put(origin(self._locator.published), facts)
            except DeviceError as error:  # it costs a request next time, not this update
                _log.warning("%s", error)

    def foresee(self, ranges: Sequence[Range]) -> tuple[int, int]:
        """(bytes, requests) that fetching these takes, if nothing breaks off and the server is as known.

        A server that is not known yet counts as one that knows multi-range.
        """
        if self._ability is Ability.NONE and ranges:
            return ranges[-1].stop, 1
        planned = list(self._divide(ranges))
        return sum(len(part) for batch in planned for part in batch), len(planned)

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) until every range was delivered once.

        Raises:
            NetworkError: "connect", "tls", "http-status", "http-protocol", "server-content", "url-refresh"
                or "transfer".
        """
        missing = Missing(ranges)
        self._todo = deque(self._divide(ranges))
        try:
            while missing:
                self._launch(missing)
                head = self._flying[0]
                try:
                    taken = self._take(head)
                except _FAILURES as error:
                    self._recover(error, head, missing)
                    continue
                for offset, data in taken:
                    for piece in missing.take(offset, data):
                        head.gained = True
                        self._locator.gained()
                        yield piece
                self._window.arrived(time.monotonic(), self.received)
                if not taken:
                    self._flying.remove(head)
                    self._ask_again(head, missing)
        finally:
            self._cancel()

    def find_size(self) -> int:
        """Ask for the file's length, bytes, by a range of one byte: object stores sign GET, not HEAD.

        Raises:
            NetworkError: as `fetch`.
        """
        while True:
            asked = self._locator.url()
            self.requests += 1
            try:
                return self._ask_size(asked)
            except _FAILURES as error:
                self._locator.failed(error, asked)

    def _ask_size(self, url: str) -> int:
        with self._open().ask(url, {"Range": "bytes=0-0"}) as response:
            if response.status_code == 206:
                total = multipart.content_range(response.headers.get("Content-Range", ""))[1]
            else:
                total = answer.length(response)
        if not total:
            raise NetworkError("http-protocol", f"{url}: length", expected="> 0 bytes", found=total)
        return total

    def _recall(self) -> None:
        """Begin with what is known of the server."""
        self._facts = self._servers.get(origin(self._locator.published))
        self._ability = self._facts.ability
        self._answered = self._ability is not None
        self._window = Window(self._facts.rtt_s, self._facts.rate, time.monotonic())
        self._validator: str | None = None

    def _divide_for(self, ability: Ability) -> None:
        """The server turned out to be like this: ask it accordingly."""
        if ability is not self._ability:
            self._ability = ability
            self._todo = deque(self._divide(part for batch in self._todo for part in batch))

    def _divide(self, ranges: Iterable[Range]) -> Iterator[list[Range]]:
        """One list of ranges a request; holes that cost less than they save are asked for too."""
        if self._ability is Ability.SINGLE:
            joined = merge(ranges, _PART)
            return batches(merge(joined, self._hole(joined)), 1, self._request)
        return divide(ranges, self._request)

    def _hole(self, ranges: Sequence[Range]) -> int:
        """Bytes that are cheaper than another single-range request: none, but for many on a long fast line.

        As long as all requests that may be in flight fill the line, a round trip costs nothing.
        """
        line = int(self._facts.rtt_s * self._facts.rate)  # bytes on their way
        if not ranges or sum(map(len, ranges)) / len(ranges) * CONNECTIONS >= line:
            return 0
        return min(line // CONNECTIONS, _MAX_HOLE)

    def _launch(self, missing: Missing) -> None:
        """Make the next requests, as many as may be in flight."""
        if self._ability is Ability.NONE:
            self._todo.clear()
            if not self._flying:
                self._start(missing.ranges, whole=True)
        while self._todo and self._may_start(self._todo[0]):
            self._start(self._todo.popleft())

    def _may_start(self, wanted: Sequence[Range]) -> bool:
        if not self._flying or wanted[0].start < self._flying[0].start:
            return True  # what comes first is what the caller waits for
        size = sum(map(len, wanted)) + sum(len(part) for other in self._flying for part in other.wanted)
        if len(self._flying) < _AT_ONCE:
            return size <= self._network.in_flight
        if not self._answered or len(self._flying) >= self._network.connections:
            return False
        return size <= min(self._window.size, self._network.in_flight)

    def _start(self, wanted: Sequence[Range], *, whole: bool = False) -> None:
        from ota.io.transfer import Transfer

        url = self._locator.url()
        transfer = Transfer(self._open(), url, wanted, self._size, self._validator, self._pace, whole=whole)
        insort(self._flying, transfer, key=lambda other: other.start)
        self.requests += 1

    def _take(self, head: Transfer) -> Sequence[tuple[int, bytes]]:
        """What came of a transfer; empty at its end.

        Raises:
            Exception: one of _FAILURES.
        """
        since_s = time.monotonic()
        while True:
            taken = head.take(_TURN_S)
            if head.rtt_s and not head.known:
                self._learn(head)
            if taken:
                return taken
            if taken is None:
                if not head.gained:
                    raise _useless(head)
                return ()
            silent_s = time.monotonic() - max(since_s, self._pace.last_s)
            if silent_s > self._network.timeout_s:
                head.cancel()
                raise BrokenError(f"nothing came for {silent_s:.0f} s")

    def _learn(self, head: Transfer) -> None:
        """Take over what the head of an answer told.

        Raises:
            NetworkError: "server-content": it is of another file than the answers before.
        """
        answer.check_etag(head.location, self._validator, head.etag)
        head.known = self._answered = True
        self.requests += head.redirects
        if head.ability:
            self._divide_for(head.ability)
        self._window.answered(head.rtt_s)
        self._validator = self._validator or head.etag
        if head.location != head.asked == self._locator.url():
            self._locator.redirected(head.location)

    def _recover(self, error: Exception, failed: Transfer, missing: Missing) -> None:
        """Plan anew what a failed transfer still lacks.

        Raises:
            NetworkError: there is nothing left to try.
        """
        self._flying.remove(failed)
        if isinstance(error, LessError):
            self._learn(failed)
            self._divide_for(error.ability)
            if error.ability is Ability.NONE:
                self._cancel()
        elif self._locator.failed(error, failed.asked):
            self._cancel()
            self._recall()
            self._todo = deque(self._divide(missing.ranges))
            return
        self._ask_again(failed, missing)

    def _ask_again(self, transfer: Transfer, missing: Missing) -> None:
        """What a transfer that ended did not bring comes first."""
        left = missing.within(transfer.start, transfer.stop)
        self._todo.extendleft(reversed(list(self._divide(left))))

    def _cancel(self) -> None:
        for transfer in self._flying:
            transfer.cancel()
        deadline_s = time.monotonic() + _JOIN_S
        for transfer in self._flying:
            transfer.join(max(0.0, deadline_s - time.monotonic()))
        self._flying.clear()

    def _open(self) -> Session:
        if self._session is None:
            from ota.io.session import Session

            self._session = Session(self._network)
        return self._session


def divide(ranges: Iterable[Range], request: int = REQUEST) -> Iterator[list[Range]]:
    """What each request asks for of a server that answers several ranges at once.

    Args:
        ranges: ascending and disjoint; holes that cost less than another part are asked for too.
        request: bytes that one request asks for, at most.
    """
    return batches(merge(ranges, _PART), MAX_RANGES, request)


def open_file(url: str, network: Network, servers: Servers) -> Reader:
    """A whole file as a stream, by one request; where it breaks off it goes on by range.

    Raises:
        NetworkError: as `HttpSource.fetch`, then and while reading.
    """
    with closing(HttpSource(url, None, network, servers)) as asked:
        size = asked.find_size()
    return stream(HttpSource(url, size, network, servers, request=size), size)


def stream(source: HttpSource, size: int) -> Stream:
    """A file of that many bytes from its start; the source is closed at its end."""
    return Stream(_whole(source, size))


def _whole(source: HttpSource, size: int) -> Iterator[bytes]:
    with closing(source):
        for _, data in source.fetch([Range(0, size)]):
            yield data


def _useless(transfer: Transfer) -> Exception:
    """Why a transfer that ended well brought nothing."""
    if not transfer.arrived:
        return BrokenError("the answer is empty")
    return NetworkError(
        "http-protocol",
        f"{transfer.location}: the answer holds other bytes than were asked for",
        expected=f"{transfer.start} to {transfer.stop - 1}",
        found=transfer.arrived,
    )


class Stream:
    """Pieces as a Reader."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def begin(self) -> None:
        """Wait for the first piece, so that what cannot be had at all fails now."""
        self._rest = self._rest or next(self._pieces, b"")

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
