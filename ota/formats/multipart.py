"""multipart/byteranges: the answer to a request for several ranges, parsed as it streams in.

    [preamble] (--BOUNDARY  header lines  empty line  data)* --BOUNDARY-- [epilogue]

Where servers differ this is tolerant: preambles, LF for CRLF, missing or additional line ends before a
delimiter, no closing delimiter, header case. What decides where bytes belong is strict: a part is as long
as its own Content-Range says, its data is never searched for the boundary, and nothing is assumed about
the order of parts or that they are the ranges that were asked for. RFC 9110 §14.4 and §14.6, RFC 2046 §5.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NoReturn

from ota.errors import NetworkError
from ota.interfaces import Range, Reader

# Of all that stands between the data of two parts, or before the first: servers send some 100.
MAX_HEADERS: Final = 8192  # bytes
MAX_BOUNDARY: Final = 256  # bytes; RFC 2046 allows 70

_MAX_OFFSET: Final = (1 << 63) - 1
_CONTENT_RANGE: Final = re.compile(r"bytes[ \t]+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_READ: Final = 1 << 14  # bytes fetched ahead while looking for a line's end
_COPY: Final = 1 << 16


def boundary(content_type: str) -> bytes | None:
    """The boundary of a multipart/byteranges answer, quoted or not; None for any other content type."""
    from email.message import Message  # dear to load, and needed only where a server answers

    message = Message()
    message["Content-Type"] = content_type
    value = message.get_boundary()
    if message.get_content_type() not in ("multipart/byteranges", "multipart/x-byteranges") or not value:
        return None
    found = value.encode("latin-1", errors="replace")  # as HTTP clients decode headers
    return found if len(found) <= MAX_BOUNDARY else None


def content_range(value: str) -> tuple[Range, int | None]:
    """Parse `bytes first-last/total`; the total is None where the server does not know it (`*`).

    Raises:
        NetworkError: http-protocol.
    """
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if not match:
        _refuse("Content-Range", "bytes FIRST-LAST/TOTAL", value)
    start, stop = int(match[1]), int(match[2]) + 1
    total = None if match[3] == "*" else int(match[3])
    if not start < stop <= (_MAX_OFFSET if total is None else min(total, _MAX_OFFSET)):
        _refuse("Content-Range", "a range within the file", value)
    return Range(start, stop), total


def parts(stream: Reader, boundary: bytes) -> Iterator[tuple[int, int | None, Reader]]:
    """Every part: where in the file it starts, the file's size if known, and a reader over its bytes.

    What the caller leaves unread is drained when the iterator advances. Ends at the closing delimiter,
    or where the body ends between two parts: whether all ranges came is the caller's question.

    Raises:
        NetworkError: http-protocol for a malformed body, transfer for one that ends inside a part.
    """
    source = _Source(stream)
    preamble = True
    while _delimiter(source, boundary, preamble):
        preamble = False
        where, total = _headers(source)
        part = _Part(source, where)
        yield where.start, total, part
        while part.read(_COPY):
            pass


class _Source:
    """A stream that can also be read by lines."""

    __slots__ = ("_ahead", "_stream")

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self._ahead = b""

    def read(self, size: int, /) -> bytes:
        if not self._ahead:
            return self._stream.read(size)
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def line(self, limit: int) -> bytes:
        """The next line with its end; without one only where the stream ends, empty at the end."""
        while b"\n" not in self._ahead and len(self._ahead) <= limit:
            data = self._stream.read(_READ)
            if not data:
                break
            self._ahead += data
        stop = self._ahead.find(b"\n") + 1 or len(self._ahead)
        if stop > limit:
            _refuse("a line between two parts", f"at most {limit} bytes", stop)
        return self.read(stop) if stop else b""


class _Part:
    """A reader over one part's data."""

    __slots__ = ("_left", "_source", "_where")

    def __init__(self, source: _Source, where: Range) -> None:
        self._source = source
        self._where = where
        self._left = len(where)

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self._left)
        if wanted <= 0:
            return b""
        data = self._source.read(wanted)
        if not data:
            _broken_off(f"with {self._left} bytes of part {self._where.start}-{self._where.stop - 1} missing")
        self._left -= len(data)
        return data


def _delimiter(source: _Source, boundary: bytes, preamble: bool) -> bool:
    """Read up to and with the next delimiter line; False at the closing one and at the end of the body."""
    delimiter = b"--" + boundary
    left = MAX_HEADERS
    while line := source.line(left):
        left -= len(line)
        text = line.rstrip()
        if text in (delimiter, delimiter + b"--"):
            return text == delimiter
        if text and not preamble:
            if not line.endswith(b"\n"):
                _broken_off("in a delimiter")
            _refuse("what follows a part", repr(delimiter), text)
    if preamble:
        _broken_off("before the first part")
    return False


def _headers(source: _Source) -> tuple[Range, int | None]:
    """Read a part's header lines; what its Content-Range says."""
    left = MAX_HEADERS
    found: list[str] = []
    while text := (line := source.line(left)).strip():
        left -= len(line)
        name, colon, value = text.decode("latin-1").partition(":")
        if colon and name.strip().lower() == "content-range":
            found.append(value)
    if not line:
        _broken_off("in the headers of a part")
    if len(found) != 1:
        _refuse("the headers of a part", "one Content-Range", found)
    return content_range(found[0])


def _refuse(what: str, expected: str, found: object) -> NoReturn:
    shown = repr(found)[:100]
    raise NetworkError("http-protocol", f"multipart answer: {what}", expected=expected, found=shown)


def _broken_off(where: str) -> NoReturn:
    raise NetworkError("transfer", f"the multipart answer ends {where}")
