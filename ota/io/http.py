"""Byte ranges of one file over HTTP(S), on one connection that is kept alive.

The first answers tell what the server can do: several ranges in a request, one, or none at all, and
the source asks in the best way that works. Bytes are assigned by Content-Range, never by order
(RFC 9110 §14.6 lets a server merge, split and reorder). What broke off is asked for again, and only that.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import requests
import urllib3.exceptions

from ota.errors import NetworkError
from ota.formats import multipart
from ota.interfaces import Range, Reader
from ota.io.ranges import Missing

MAX_RANGES: Final = (
    150  # per request, as SWUpdate asks by default; Apache stops at 200, nginx at 8 kB of header
)
BLOCK: Final = 1 << 16  # bytes; what is taken from a response at a time

_RETRIED_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Network:
    """How servers are reached."""

    ca: Path | None = None  # certificates that may sign a server's; default: the system's
    timeout_s: float = 30.0  # of a connection attempt, and of silence
    retries: int = 5  # in a row without a byte gained
    backoff_s: float = 0.5  # before the first retry; doubled each time


class _Ability(IntEnum):
    """What a server does with a Range header."""

    NONE = 0
    SINGLE = 1
    MULTI = 2


class _BrokenError(Exception):
    """The transfer stopped in a way that is worth another try."""


class HttpSource:
    """A published file as a RangeSource.

    Args:
        url: http or https.
        size: the file's length, bytes; an answer that says otherwise comes from another file.
    """

    def __init__(self, url: str, size: int | None, network: Network) -> None:
        self._url = url
        self._size = size
        self._network = network
        self._session = open_session(network)
        self._ability = _Ability.MULTI
        self.requests = 0
        self.received = 0  # bytes of the file that arrived, wanted or not

    def close(self) -> None:
        self._session.close()

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) until every range was delivered once.

        Raises:
            NetworkError: "connect", "tls", "http-status", "http-protocol", "server-content" or "transfer".
        """
        missing = Missing(ranges)
        failures = 0
        while missing:
            before = (missing.size, self._ability)
            try:
                for offset, data in self._ask(missing):
                    failures = 0
                    yield offset, data
                if before == (missing.size, self._ability):
                    raise _BrokenError("the answer holds nothing that was asked for")
            except _BrokenError as broken:
                failures += 1
                if failures > self._network.retries:
                    code = "transfer" if self.received else "connect"
                    raise NetworkError(
                        code, f"{self._url}: {broken}", found=f"{failures} failures"
                    ) from broken
                time.sleep(self._network.backoff_s * 2 ** (failures - 1))

    def foresee(self, ranges: Sequence[Range]) -> tuple[int, int]:
        """(bytes, requests) that fetching these will take."""
        return sum(map(len, ranges)), count_requests(ranges)

    def find_size(self) -> int:
        """Ask for the file's length, bytes, by a range of one byte: object stores sign GET, not HEAD."""
        with _translated(self._url):
            try:
                response = send(self._session, self._url, self._network, {"Range": "bytes=0-0"})
            except _BrokenError as broken:
                raise NetworkError("connect", f"{self._url}: {broken}") from broken
            with response:
                if response.status_code == 206:
                    total = multipart.content_range(response.headers.get("Content-Range", ""))[1]
                else:
                    total = _length(response)
        if not total:
            raise NetworkError("http-protocol", f"{self._url}: length", expected="> 0 bytes", found=total)
        return total

    def _ask(self, missing: Missing) -> Iterator[tuple[int, bytes]]:
        """One request for the first missing ranges; what it brings is no longer missing."""
        wanted = missing.first({_Ability.MULTI: MAX_RANGES}.get(self._ability, 1))
        headers = {} if self._ability is _Ability.NONE else {"Range": _range_header(wanted)}
        self.requests += 1
        with _translated(self._url), send(self._session, self._url, self._network, headers) as response:
            for offset, data in self._bytes_of(response, wanted):
                self.received += len(data)
                yield from missing.take(offset, data)
                if self._ability is _Ability.NONE and not missing:
                    return  # the rest of the file is not wanted
            response.raw.read(BLOCK)  # what ends a multipart answer: read it, and the connection lives on

    def _bytes_of(self, response: requests.Response, wanted: list[Range]) -> Iterator[tuple[int, bytes]]:
        if response.status_code == 200 and self._ability is _Ability.MULTI and len(wanted) > 1:
            # An object store's answer to several ranges is the whole file: hang up, ask one by one.
            self._ability = _Ability.SINGLE
            return
        if response.status_code == 200:
            self._ability = _Ability.NONE
            self._check_size(_length(response))
            yield from _read(_Body(response), 0)
            return
        boundary = multipart.boundary(response.headers.get("Content-Type", ""))
        if boundary is not None:
            for start, total, part in multipart.parts(_Body(response), boundary):
                self._check_size(total)
                yield from _read(part, start)
            return
        given, total = multipart.content_range(response.headers.get("Content-Range", ""))
        self._check_size(total)
        if len(wanted) > 1 and given.stop < wanted[-1].stop:
            self._ability = _Ability.SINGLE  # it answers the first range only
        yield from _read(_Limit(_Body(response), len(given)), given.start)

    def _check_size(self, total: int | None) -> None:
        if None not in (self._size, total) and self._size != total:
            raise NetworkError(
                "server-content",
                f"{self._url} is another file",
                expected=f"{self._size} bytes",
                found=total,
                hint="publish the .zck that this package was built with",
            )


def open_file(url: str, network: Network) -> Reader:
    """A whole file as a stream; where it breaks off it goes on by range.

    Raises:
        NetworkError: as `HttpSource.fetch`, then and while reading.
    """
    source = HttpSource(url, None, network)
    return _Stream(data for _, data in source.fetch([Range(0, source.find_size())]))


def count_requests(ranges: Sequence[Range]) -> int:
    """How many requests a server that knows multi-range needs."""
    return -(-len(ranges) // MAX_RANGES)


def open_session(network: Network) -> requests.Session:
    """A session that verifies TLS always and heeds no environment variable."""
    session = requests.Session()
    # REQUESTS_CA_BUNDLE would override `verify`, and a .netrc would add credentials.
    session.trust_env = False
    session.verify = str(network.ca) if network.ca else True
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "otakit"})
    return session


def send(session: requests.Session, url: str, network: Network, headers: dict[str, str]) -> requests.Response:
    """A GET whose body is still to be read; refused unless it is 200 or 206.

    Raises:
        NetworkError: "http-status", "http-protocol".
        _BrokenError: a status that is worth another try.
    """
    if not url.startswith(("http://", "https://")):
        raise NetworkError("http-protocol", "URL", expected="http:// or https://", found=url)
    response = session.get(url, headers=headers, stream=True, timeout=network.timeout_s)
    status = response.status_code
    if status in _RETRIED_STATUS:
        response.close()
        raise _BrokenError(f"status {status}")
    if status not in (200, 206):
        response.close()
        raise NetworkError("http-status", url, expected="200 or 206", found=f"{status} {response.reason}")
    if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
        response.close()
        raise NetworkError("http-protocol", f"{url}: content encoding", expected="identity", found=coding)
    return response


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Foreign exceptions become ours: _BrokenError where another try may help."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if refused := _certificate_error(error):
            raise NetworkError(
                "tls",
                f"{url}: {refused.verify_message}",
                hint="[network] ca names the certificates that may sign the server's",
            ) from error
        if isinstance(error, ValueError):  # requests' way to say that a URL is none
            raise NetworkError("http-protocol", f"URL: {error}", found=url) from error
        raise _BrokenError(_innermost(error)) from error


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    return next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)


def _innermost(error: BaseException) -> str:
    """The text of the first cause; what requests and urllib3 wrap around it names memory addresses."""
    *_, first = _causes(error)
    return getattr(first, "strerror", None) or str(first) or type(first).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was made from: chained, or, as urllib3 does it, as arguments."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        reason = getattr(current, "reason", None)
        inner = [value for value in (reason, *current.args) if isinstance(value, BaseException)]
        current = inner[0] if inner else current.__cause__ or current.__context__


class _Stream:
    """Pieces as a Reader."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class _Body:
    """A response's body as a Reader."""

    def __init__(self, response: requests.Response) -> None:
        self._raw = response.raw

    def read(self, size: int, /) -> bytes:
        data: bytes = self._raw.read(size)
        return data


class _Limit:
    """At most so many bytes of a reader: what follows was never asked for, and may never end."""

    def __init__(self, source: Reader, limit: int) -> None:
        self._source = source
        self._left = limit

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        return data


def _read(reader: Reader, offset: int) -> Iterator[tuple[int, bytes]]:
    while data := reader.read(BLOCK):
        yield offset, data
        offset += len(data)


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _range_header(ranges: Sequence[Range]) -> str:
    return "bytes=" + ",".join(f"{wanted.start}-{wanted.stop - 1}" for wanted in ranges)
