"""What web servers do to a delta update, as named cases: one list for ours and for stock SWUpdate.

`test_server_behaviours.py` runs each through `ota install` and through Debian's swupdate 2024.12, and
`docs/servers.md` is made from this list.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ota.tests.odd import Behaviour, Request


class Stock(StrEnum):
    """How stock SWUpdate fares."""

    RIGHT = "ends right"
    FAILS = "fails"
    WRONG = "reports success with a wrong image"
    HANGS = "not done after 20 s"
    CRASHES = "crashes"


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour.

    Args:
        make: a fresh one for each update.
        code: of our refusal; None: the update ends right.
        ours: what we do, in words.
        extra: coded bytes that may come more than planned, as a share of the file; None: any.
        tls: which certificate the server shows.
    """

    name: str
    make: Callable[[], Behaviour]
    code: str | None
    stock: Stock
    ours: str
    extra: float | None = 0.0
    tls: str = ""


def _proper(request: Request) -> None:
    request.properly()


def _no_multi(request: Request) -> None:
    request.whole() if len(request.ranges) > 1 else request.properly()


def _no_ranges(request: Request) -> None:
    request.whole()


def _first_only(request: Request) -> None:
    request.single(*request.ranges[0])


def _coalesced(request: Request) -> None:
    request.single(request.ranges[0][0], request.ranges[-1][1])


def _reordered(request: Request) -> None:
    request.multi(request.ranges[::-1])


def _split(request: Request) -> None:
    halves = [((a, (a + b + 1) // 2), ((a + b + 1) // 2, b)) for a, b in request.ranges]
    request.multi([part for pair in halves for part in pair if part[0] < part[1]])


def _too_much(request: Request) -> None:
    request.multi([(max(0, a - 100), min(len(request.file), b + 100)) for a, b in request.ranges])


def _quoted(request: Request) -> None:
    request.multi(request.ranges, kind='multipart/byteranges; boundary="frontier"')


def _no_space(request: Request) -> None:
    request.multi(request.ranges, kind="multipart/byteranges;boundary=frontier")


def _line_feeds(request: Request) -> None:
    request.multi(request.ranges, end=b"\n")


def _no_end_of_line(request: Request) -> None:
    request.multi(request.ranges, before=b"")


def _preamble(request: Request) -> None:
    request.multi(request.ranges, preamble=b"Here is what you asked for.\r\n")


def _wrong_place(request: Request) -> None:
    start, stop = request.ranges[0]
    request.single(start + 1, stop + 1, request.file[start:stop])


def _wrong_total(request: Request) -> None:
    request.single(*request.ranges[0], total=7_000_000_000)


@dataclass(slots=True)
class _Times:
    """Something odd for the first answers, then as it should be."""

    odd: Behaviour
    times: int
    done: int = 0

    def __call__(self, request: Request) -> None:
        self.done += 1
        (self.odd if self.done <= self.times else _proper)(request)


def _short(request: Request) -> None:
    """A body that is complete as HTTP has it, but not all that its Content-Range says."""
    start, stop = request.ranges[0]
    request.single(start, stop, request.file[start : (start + stop + 1) // 2])


def _endless(request: Request) -> None:
    start, stop = request.ranges[0]
    total = len(request.file)
    body = request.file[start:stop] + bytes(1 << 16)
    request.answer(206, body, 1 << 40, Content_Range=f"bytes {start}-{stop - 1}/{total}")
    while not request.close_connection and not request.server.closing:
        request.write(bytes(1 << 16))
    request.close_connection = True


def _flipped(request: Request) -> None:
    """One bit of the first answer is wrong."""
    right = request.file
    start, stop = request.ranges[0]
    place = (start + stop) // 2
    request.server.file = right[:place] + bytes([right[place] ^ 4]) + right[place + 1 :]
    try:
        request.properly()
    finally:
        request.server.file = right


def _dropped(request: Request) -> None:
    """Every answer breaks off after 40 kB."""
    asked = request.ranges
    if len(asked) > 1 and sum(b - a for a, b in asked) > 40_000:
        asked = asked[:1]
    start, stop = asked[0]
    body = request.file[start : min(stop, start + 40_000)]
    where = f"bytes {start}-{stop - 1}/{len(request.file)}"
    request.answer(206, body, stop - start, Content_Range=where)
    request.close_connection = len(body) < stop - start


def _busy(status: int, **headers: str) -> Behaviour:
    return lambda request: request.answer(status, b"", None, **headers)


def _beyond(request: Request) -> None:
    request.answer(416, b"", Content_Range="bytes */1000")


def _redirect(host: str) -> Behaviour:
    def redirect(request: Request) -> None:
        if request.path == "/file":
            target = f"http://{host}:{request.server.server_port}/elsewhere"
            return request.answer(302, b"", Location=target)
        request.properly()

    return redirect


def _drip(request: Request) -> None:
    start, stop = request.ranges[0]
    where = f"bytes {start}-{stop - 1}/{len(request.file)}"
    request.answer(206, b"", stop - start, Content_Range=where)
    request.slowly(request.file[start:stop], bytes_a_second=5)
    request.close_connection = True


class _Replaced:
    """The first answer breaks off; then another file of the same size has taken its place."""

    def __init__(self) -> None:
        self._answers = 0
        self._begun = threading.Event()

    def __call__(self, request: Request) -> None:
        if request.ranges[0][0] > len(request.file) // 4:  # asked for at the same time as the start
            self._begun.wait(5)
        self._begun.set()
        self._answers += 1
        request.server.etag = '"first"'
        if self._answers == 1:
            return _dropped(request)
        request.server.etag = '"second"'
        right = request.file
        request.server.file = bytes(byte ^ 0xFF for byte in right)
        try:
            request.properly()
        finally:
            request.server.file = right


def _gzip(request: Request) -> None:
    request.answer(200, gzip.compress(request.file), None, Content_Encoding="gzip")


def _always(behaviour: Behaviour) -> Callable[[], Behaviour]:
    return lambda: behaviour


def _for(times: int, behaviour: Behaviour) -> Callable[[], Behaviour]:
    return lambda: _Times(behaviour, times)


RIGHT, FAILS, WRONG, HANGS, CRASHES = Stock

CASES = (
    Case("a good server", _always(_proper), None, RIGHT, "several ranges a request"),
    Case("200 to any range", _always(_no_ranges), None, FAILS, "reads the file, keeps what it needs", None),
    Case("200 to several ranges", _always(_no_multi), None, FAILS, "single ranges, some at once"),
    Case("first of several ranges only", _always(_first_only), None, RIGHT, "single ranges, some at once"),
    Case("ranges coalesced into one", _always(_coalesced), None, RIGHT, "takes what it needs", None),
    Case("parts in another order", _always(_reordered), None, FAILS, "by Content-Range"),
    Case("parts split in two", _always(_split), None, FAILS, "by Content-Range"),
    Case("parts larger than asked for", _always(_too_much), None, FAILS, "takes what it needs", None),
    Case("boundary in quotes", _always(_quoted), None, FAILS, "reads it"),
    Case("no space before boundary", _always(_no_space), None, FAILS, "reads it"),
    Case("LF for CRLF", _always(_line_feeds), None, HANGS, "reads it"),
    Case("no CRLF before a boundary", _always(_no_end_of_line), None, FAILS, "reads it"),
    Case("a preamble", _always(_preamble), None, RIGHT, "skips it"),
    Case("wrong Content-Range", _always(_wrong_place), "http-protocol", RIGHT, "refuses"),
    Case("wrong total", _always(_wrong_total), "server-content", RIGHT, "refuses: another file"),
    Case("short body, once", _for(1, _short), None, RIGHT, "asks for the rest"),
    Case("short body, always", _always(_short), None, HANGS, "asks for the rest"),
    Case("an endless body", _always(_endless), None, FAILS, "stops where the range ends", None),
    Case("one flipped bit", _for(1, _flipped), None, FAILS, "asks for that chunk again", 0.5),
    Case("one flipped bit in each answer", _always(_flipped), "digest-mismatch", FAILS, "refuses", None),
    Case("connection dropped every 40 kB", _always(_dropped), None, FAILS, "asks for what is missing"),
    Case("503 with Retry-After, twice", _for(2, _busy(503, Retry_After="1")), None, FAILS, "waits as told"),
    Case("503 until tomorrow", _always(_busy(503, Retry_After="86400")), "http-status", FAILS, "refuses"),
    Case("429, twice", _for(2, _busy(429)), None, FAILS, "waits longer each time"),
    Case("503 for ever", _always(_busy(503)), "connect", FAILS, "gives up at last"),
    Case("416", _always(_beyond), "server-content", CRASHES, "refuses: another file"),
    Case("404", _always(_busy(404)), "http-status", FAILS, "refuses at once"),
    Case("redirect on the same host", _always(_redirect("localhost")), None, RIGHT, "follows, once"),
    Case("redirect to another host", _always(_redirect("127.0.0.1")), None, RIGHT, "follows, once"),
    Case("5 bytes a second, once", _for(1, _drip), None, HANGS, "takes it for dead, asks again", 0.5),
    Case("file replaced mid-way", _Replaced, "server-content", FAILS, "refuses: ETag"),
    Case("gzip encoding", _always(_gzip), "http-protocol", FAILS, "refuses: not asked for"),
    Case("TLS: good certificate", _always(_proper), None, RIGHT, "verifies it", tls="good"),
    Case("TLS: for another host", _always(_proper), "tls", FAILS, "refuses", tls="other host"),
    Case("TLS: expired", _always(_proper), "tls", FAILS, "refuses", tls="expired"),
    Case("TLS: unknown CA", _always(_proper), "tls", FAILS, "refuses", tls="unknown CA"),
)  # fmt: skip
