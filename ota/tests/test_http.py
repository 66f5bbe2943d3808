"""The HTTP source against servers that answer in odd ways: used rightly, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import NetworkError
from ota.interfaces import Range
from ota.io.http import HttpSource, open_file
from ota.io.network import Network
from ota.io.ranges import Missing
from ota.io.readers import read_full
from ota.io.servers import Servers
from ota.tests.odd import Behaviour, Odd, Request

FILE = random.Random(9).randbytes(300_000)
RANGES = [Range(10, 5_000), Range(20_000, 90_000), Range(150_000, 150_001), Range(299_000, 300_000)]
FAST = Network(timeout_s=2, retries=2, backoff_s=0.01)


@pytest.fixture
def server() -> Iterator[Odd]:
    with Odd(FILE, whole) as odd:
        yield odd


def fetch(server: Odd, behaviour: Behaviour, size: int | None = len(FILE)) -> HttpSource:
    """Fetch RANGES and prove each byte, and that each came once."""
    server.behaviour = behaviour
    source = HttpSource(server.url, size, FAST, Servers(None))
    missing = Missing(RANGES)
    for offset, data in source.fetch(RANGES):
        assert bool(FILE[offset : offset + len(data)] == data)
        assert sum(len(piece) for _, piece in missing.take(offset, data)) == len(data)
    assert not missing
    source.close()
    return source


def whole(request: Request) -> None:
    request.whole()


def only_single(request: Request) -> None:
    request.whole() if len(request.ranges) > 1 else request.properly()


@dataclass
class Dropping:
    """Breaks the connection after some bytes of every answer, `times` times."""

    times: int
    bytes_each: int = 30_000
    dropped: int = 0

    def __call__(self, request: Request) -> None:
        start, stop = request.ranges[0]
        if self.dropped == self.times:
            return request.multi(request.ranges) if len(request.ranges) > 1 else request.single(start, stop)
        self.dropped += 1
        body = FILE[start:stop][: self.bytes_each]
        request.answer(206, body, stop - start, Content_Range=f"bytes {start}-{stop - 1}/{len(FILE)}")
        request.close_connection = True


@dataclass
class Busy:
    """Says 503 some times."""

    times: int
    said: list[int] = field(default_factory=list)

    def __call__(self, request: Request) -> None:
        if len(self.said) < self.times:
            self.said.append(503)
            return request.answer(503, b"")
        request.multi(request.ranges)


def test_a_server_that_knows_single_ranges_is_asked_for_several_once(server: Odd) -> None:
    fetch(server, only_single)
    assert [asked.count(",") for asked in server.asked] == [3, 0, 0, 0, 0]


def test_a_server_without_ranges_is_asked_once_more_and_read_once(server: Odd) -> None:
    source = fetch(server, whole)
    assert source.received <= len(FILE)


@pytest.mark.parametrize("times", [1, 5])
def test_a_dropped_connection_costs_only_what_was_missing(server: Odd, times: int) -> None:
    behaviour = Dropping(times)
    source = fetch(server, behaviour)
    assert behaviour.dropped == times
    assert source.received == sum(map(len, RANGES))


def test_a_busy_server_is_asked_again(server: Odd) -> None:
    behaviour = Busy(2)
    fetch(server, behaviour)
    assert behaviour.said == [503, 503]


REFUSED: dict[str, tuple[Behaviour, str]] = {
    "always busy": (Busy(1000), "connect"),
    "404": (lambda request: request.answer(404, b""), "http-status"),
    "403": (lambda request: request.answer(403, b""), "http-status"),
    "another length": (lambda request: request.single(*request.ranges[0], total=7_000_000), "server-content"),
    "another place": (lambda request: request.single(100_000, 100_500), "http-protocol"),
    "no place": (lambda request: request.answer(206, FILE[:10]), "http-protocol"),
    "nonsense": (lambda request: request.answer(206, b"", Content_Range="bytes x-y/z"), "http-protocol"),
    "gzip": (lambda request: request.answer(200, b"", Content_Encoding="gzip"), "http-protocol"),
    "never a byte": (Dropping(1000, bytes_each=0), "connect"),
}  # fmt: skip


@pytest.mark.parametrize(("behaviour", "code"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused(server: Odd, behaviour: Behaviour, code: str) -> None:
    with pytest.raises(NetworkError) as caught:
        fetch(server, behaviour)
    assert caught.value.code == code


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(NetworkError) as caught:
        list(HttpSource("http://127.0.0.1:1/file", None, FAST, Servers(None)).fetch(RANGES))
    assert caught.value.code == "connect"
    assert "127.0.0.1:1" in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "http://[::1/x"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(NetworkError) as caught:
        list(HttpSource(url, None, FAST, Servers(None)).fetch(RANGES))
    assert caught.value.code == "http-protocol"


@pytest.mark.parametrize("behaviour", [whole, only_single, Dropping(3)], ids=["whole", "ranges", "dropping"])
def test_a_whole_file_is_a_stream(server: Odd, behaviour: Behaviour) -> None:
    server.behaviour = behaviour
    assert bool(read_full(open_file(server.url, FAST, Servers(None)), 1 << 20) == FILE)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 90)), max_size=30))
def test_what_is_missing_is_delivered_once_whatever_comes(pieces: list[tuple[int, int]]) -> None:
    wanted = [Range(10, 20), Range(50, 120), Range(121, 122), Range(200, 290)]
    missing = Missing(wanted)
    seen: set[int] = set()
    for start, length in pieces:
        for offset, data in missing.take(start, bytes((start + n) % 251 for n in range(length))):
            assert list(data) == [(offset + n) % 251 for n in range(len(data))]
            places = set(range(offset, offset + len(data)))
            assert not places & seen
            seen |= places
    arrived = {place for start, length in pieces for place in range(start, start + length)}
    all_wanted = {place for part in wanted for place in range(part.start, part.stop)}
    assert seen == arrived & all_wanted
    assert missing.size == len(all_wanted - seen)
