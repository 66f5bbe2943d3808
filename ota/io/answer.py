"""What a server's answer to a request for ranges holds: pieces of the file, each with its place.

Places are those of Content-Range, never guessed from the order (RFC 9110 §14.6 lets a server merge, split
and reorder), and no more is read than an answer says it holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ota.errors import NetworkError
from ota.formats import multipart
from ota.interfaces import Range, Reader

if TYPE_CHECKING:
    import requests

# Bytes taken from a connection at a time: little of a slow one, so that a slow one is told from a dead one.
SMALL_BLOCK: Final = 1 << 12
LARGE_BLOCK: Final = 1 << 16
_BLOCK_S: Final = 0.1  # a block that took less is followed by a larger one


class Ability(StrEnum):
    """What a server does with a Range header."""

    NONE = "none"
    SINGLE = "single"
    MULTI = "multi"


class LessError(Exception):
    """The server can do less than was asked of it; nothing of its answer was used."""

    def __init__(self, ability: Ability) -> None:
        super().__init__(ability)
        self.ability = ability


def range_header(ranges: Sequence[Range]) -> str:
    """The value of a Range header."""
    return "bytes=" + ",".join(f"{wanted.start}-{wanted.stop - 1}" for wanted in ranges)


def ability(response: requests.Response, asked: Sequence[Range]) -> Ability | None:
    """What the head of an answer tells of its server; None where one range was asked for and given.

    Args:
        asked: the ranges of the request; none where the whole file was asked for.

    Raises:
        LessError: the answer is the whole file, and ranges were asked for.
        NetworkError: "http-protocol".
    """
    if response.status_code == 200:
        if asked:
            raise LessError(Ability.SINGLE if len(asked) > 1 else Ability.NONE)
        return Ability.NONE
    if len(asked) < 2:
        return None
    if _boundary(response) is not None:
        return Ability.MULTI
    given, _ = multipart.content_range(response.headers.get("Content-Range", ""))
    # One part: some merge all that was asked for, some answer the first range only.
    return Ability.MULTI if given.stop >= asked[-1].stop else Ability.SINGLE


def pieces(response: requests.Response, size: int | None, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of an answer with status 200 or 206.

    Args:
        size: of the file, bytes, if that is known.
        stop: of a whole file, no byte from here on is read.

    Raises:
        NetworkError: "http-protocol", "server-content", "transfer".
    """
    if response.status_code == 200:
        check_size(response.url, size, length(response))
        yield from _read(Limit(_Body(response), stop), 0)
        return
    if (boundary := _boundary(response)) is not None:
        for start, total, part in multipart.parts(_Body(response), boundary):
            check_size(response.url, size, total)
            yield from _read(part, start)
        return
    given, total = multipart.content_range(response.headers.get("Content-Range", ""))
    check_size(response.url, size, total)
    yield from _read(Limit(_Body(response), len(given)), given.start)


def _boundary(response: requests.Response) -> bytes | None:
    return multipart.boundary(response.headers.get("Content-Type", ""))


def length(response: requests.Response) -> int | None:
    """Content-Length, if there is one."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


def check_size(url: str, expected: int | None, found: int | None) -> None:
    """Raises: NetworkError: "server-content" where both are known and differ."""
    if None not in (expected, found) and expected != found:
        raise NetworkError(
            "server-content",
            f"{url} is another file",
            expected=f"{expected} bytes",
            found=found,
            hint="publish the .zck that this package was built with",
        )


def check_etag(url: str, expected: str | None, found: str | None) -> None:
    """Raises: NetworkError: "server-content" where both are known and differ."""
    if None not in (expected, found) and expected != found:
        raise NetworkError(
            "server-content",
            f"{url} was replaced while it was read",
            expected=f"ETag {expected}",
            found=f"ETag {found}",
            hint="publish each release under a name of its own",
        )


class Limit:
    """At most so many bytes of a reader: what follows was never asked for, and may never end."""

    def __init__(self, source: Reader, limit: int) -> None:
        self._source = source
        self._left = limit

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        return data


class _Body:
    """A response's body as a Reader."""

    def __init__(self, response: requests.Response) -> None:
        self._raw = response.raw

    def read(self, size: int, /) -> bytes:
        data: bytes = self._raw.read(size) if size else b""
        return data


def _read(reader: Reader, offset: int) -> Iterator[tuple[int, bytes]]:
    block, before = SMALL_BLOCK, time.monotonic()
    while data := reader.read(block):
        yield offset, data
        offset += len(data)
        now = time.monotonic()
        block = min(LARGE_BLOCK, block * 2) if now - before < _BLOCK_S else max(SMALL_BLOCK, block // 2)
        before = now
