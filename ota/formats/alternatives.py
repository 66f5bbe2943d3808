"""Other ways to an image than its zchunk header: files on the server, named by signed properties.

An entry of type `delta` may have the properties `rdiff`, one string for each base, and `full`, one string.
Stock SWUpdate ignores both. A string is words in this order, one space between them:

    base=<sha256>:<bytes>   of the image that the rdiff delta was made from; `full` has none
    file=<name>             in the folder of the entry's `url`
    size=<bytes>            of that file
    sha256=<hex>            of that file
    compressed=zstd         the file is one zstd stream
    window=<bytes>          that its decoder needs, at most

Unknown words are refused: what a device does not understand of a signed text it must not guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ota.formats.attributes import refuse
from ota.formats.selection import Compression, Entry

MAX_BASES: Final = 256  # rdiff deltas of one entry; each is a line of the sw-description
MAX_WINDOW: Final = 128 << 20  # bytes; zstd's own decoder takes no more unless it is told to

_BASE: Final = r"base=(?P<base>[0-9a-f]{64}):(?P<length>[1-9][0-9]{0,14}) "
_FILE: Final = (
    r"file=(?P<file>[A-Za-z0-9][A-Za-z0-9._-]{0,254}) size=(?P<size>[1-9][0-9]{0,14}) "
    r"sha256=(?P<sha256>[0-9a-f]{64}) compressed=(?P<compressed>zstd) window=(?P<window>[1-9][0-9]{0,9})"
)


class Method(StrEnum):
    """How an image comes to a device."""

    ZCHUNK = "zchunk"  # missing chunks, by range
    RDIFF = "rdiff"  # a delta from one base
    FULL = "full"  # the image as a whole, compressed


_PATTERNS: Final = {
    Method.RDIFF: re.compile(_BASE + _FILE),
    Method.FULL: re.compile(_FILE),
}
"""Properties of an entry, in the order in which they are read."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One file that gives the image."""

    method: Method  # RDIFF or FULL
    file: str  # name in the folder of the entry's `url`
    size: int  # bytes, of the file
    sha256: str  # hex, of the file
    compressed: Compression
    window: int  # bytes that the decoder needs
    base: tuple[str, int] | None  # RDIFF: sha256 and bytes of the image that it was made from


def parse(entry: Entry) -> tuple[Alternative, ...]:
    """What an entry offers, in its order; nothing where it has no such property.

    Raises:
        UpdateError: "description-content".
    """
    found = []
    for method in _PATTERNS:
        texts = entry.properties.get(method, ())
        limit = 1 if method is Method.FULL else MAX_BASES
        if len(texts) > limit:
            refuse(f"{entry.label}: property {method}", expected=f"at most {limit} strings", found=len(texts))
        found += [_parse(entry.label, method, text) for text in texts]
    return tuple(found)


def render(alternative: Alternative) -> str:
    """The string of a property; the inverse of `parse`."""
    base = "base={}:{} ".format(*alternative.base) if alternative.base else ""
    text = (
        f"{base}file={alternative.file} size={alternative.size} sha256={alternative.sha256} "
        f"compressed={alternative.compressed} window={alternative.window}"
    )
    assert _parse("rendered", alternative.method, text) == alternative, alternative
    return text


def url(entry_url: str, alternative: Alternative) -> str:
    """Where the file lies: beside the .zck of the entry's `url`."""
    folder, slash, _ = entry_url.partition("?")[0].rpartition("/")
    return folder + slash + alternative.file


def _parse(label: str, method: Method, text: str) -> Alternative:
    match = _PATTERNS[method].fullmatch(text)
    if match is None:
        base = "base=SHA256:BYTES " if method is Method.RDIFF else ""
        refuse(
            f"{label}: property {method}",
            expected=f"{base}file=NAME size=BYTES sha256=HEX compressed=zstd window=BYTES",
            found=text,
        )
    words = match.groupdict()
    window = int(words["window"])
    if window > MAX_WINDOW:
        refuse(f"{label}: property {method}: window", expected=f"<= {MAX_WINDOW}", found=window)
    return Alternative(
        method,
        words["file"],
        int(words["size"]),
        words["sha256"],
        Compression(words["compressed"]),
        window,
        (words["base"], int(words["length"])) if method is Method.RDIFF else None,
    )
