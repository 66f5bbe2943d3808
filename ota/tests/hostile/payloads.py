"""Payloads that lie: bombs in each compression, damaged streams, deltas and zchunk headers made by hand."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import lz4.frame
import zstandard

from ota.tests.hostile.case import (
    PAYLOAD,
    RUNNING,
    SLOT,
    SLOT_SIZE,
    Case,
    Package,
    Stock,
    When,
    image,
    package,
    raw,
)

_BOMB: Final = 16 * SLOT_SIZE  # bytes, from some KiB
_STREAMED: Final = (
    "what a stream becomes is known when it was unpacked; what its properties say is tried first"
)
_RESULT: Final = "that literal bytes are wrong shows in the result"

_COMPRESS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "zlib": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "lz4": partial(lz4.frame.compress, content_checksum=True),
}
# Debian's build has neither xz nor lz4, and refuses the word.
_ABSENT: Final = ("xz", "lz4")


def _packed(compression: str, data: Callable[[], bytes], more: str = "") -> Callable[[], Package]:
    """A compressed image."""
    return lambda: Package(image(f'compressed = "{compression}"; {more}'), {"a": data()})


def _bomb(compression: str) -> bytes:
    return _COMPRESS[compression](bytes(_BOMB))


def _damaged(compression: str) -> bytes:
    """In the middle of a first block."""
    data = bytearray(_COMPRESS[compression](PAYLOAD * 3))
    data[len(data) // 2] ^= 0x55
    data[len(data) // 2 + 1] ^= 0x55
    return bytes(data)


def _window_zstd() -> bytes:
    """A frame of one raw block whose window is 1 GiB (RFC 8878, 3.1.1)."""
    block = (len(PAYLOAD) << 3 | 1).to_bytes(3, "little") + PAYLOAD
    return b"\x28\xb5\x2f\xfd" + bytes([0, (30 - 10) << 3]) + block


def _window_xz() -> bytes:
    """A block whose dictionary is 3 GiB (The .xz File Format, 3.1 and 5.3.1)."""
    data = bytearray(lzma.compress(PAYLOAD))
    size = (data[12] + 1) * 4
    data[16] = 39
    data[12 + size - 4 : 12 + size] = zlib.crc32(data[12 : 12 + size - 4]).to_bytes(4, "little")
    return bytes(data)


def _of_each(
    name: str, data: Callable[[str], bytes], stock: Mapping[str, Stock], more: str = "", **case: object
) -> tuple[Case, ...]:
    """One row for each compression; `stock` where that differs."""
    return tuple(
        Case(
            f"{word}: {name}",
            _packed(word, lambda word=word: data(word), more),  # type: ignore[misc]  # a lambda with a default
            stock=Stock.REFUSES if word in _ABSENT else stock.get(word, Stock.REFUSES),
            **case,  # type: ignore[arg-type]  # passed on
        )
        for word in _COMPRESS
    )


_COMPRESSIONS: Final = (
    *_of_each(
        "4 MiB of slot, 64 MiB of zeros",
        _bomb,
        {"zlib": Stock.SPOILS, "zstd": Stock.SPOILS},
        code="slot-size",
        when=When.SPOILT,
        late=_STREAMED,
    ),
    *_of_each(
        "the same, and its properties say so",
        _bomb,
        {"zlib": Stock.SPOILS, "zstd": Stock.SPOILS},
        f'properties: {{ image-size = "{_BOMB}"; }};',
        code="slot-size",
    ),
    *_of_each("damaged", _damaged, {"zstd": Stock.SPOILS}, code="payload-format"),
    *_of_each(
        "cut short",
        lambda word: _COMPRESS[word](PAYLOAD)[:-9],
        {"zlib": Stock.INSTALLS, "zstd": Stock.NOTHING},
        code="payload-format",
    ),
    *_of_each(
        "something behind its end",
        lambda word: _COMPRESS[word](PAYLOAD) + b"\xa5" * 100,
        {"zlib": Stock.INSTALLS},
        code="payload-format",
    ),
    *_of_each(
        "empty", lambda word: b"", {"zlib": Stock.NOTHING, "zstd": Stock.NOTHING}, code="payload-format"
    ),
    *_of_each("not compressed at all", lambda word: PAYLOAD, {}, code="payload-format"),
    *_of_each(
        "compressed twice, and told to hold a small image",
        lambda word: _COMPRESS[word](_COMPRESS[word](bytes(_BOMB))),
        {"zlib": Stock.INSTALLS, "zstd": Stock.INSTALLS},
        f'properties: {{ image-size = "{len(PAYLOAD)}"; }};',
        code="result-mismatch",
        when=When.SPOILT,
        late=_STREAMED,
    ),
    Case("zstd: a window of 1 GiB", _packed("zstd", _window_zstd), "payload-format", Stock.REFUSES),
    Case("xz: a dictionary of 3 GiB", _packed("xz", _window_xz), "payload-format", Stock.REFUSES),
    Case(
        "zlib: damaged behind the first MiB",
        _packed("zlib", lambda: gzip.compress(bytes(3 << 20) + PAYLOAD)[:-9]),
        "payload-format",
        Stock.INSTALLS,
        When.SPOILT,
        _STREAMED,
    ),
    Case(
        "an image of another size than its properties say",
        _packed("zlib", lambda: gzip.compress(PAYLOAD), 'properties: { image-size = "77"; };'),
        "result-mismatch",
        Stock.INSTALLS,
        When.SPOILT,
        _STREAMED,
    ),
)

_ENCRYPTED: Final = "encrypted = true;"

_SECRETS: Final = (
    Case(
        "no sha256",
        package(f'images: ( {{ filename = "a"; device = "{SLOT}"; }} );'),
        "digest-missing",
        Stock.REFUSES,
    ),
    Case("a wrong sha256", package(image().replace("@a", "0" * 64)), "digest-mismatch", Stock.REFUSES),
    Case(
        "one file with two sha256",
        package(f"images: ( {raw()}, {raw('offset = 65536;').replace('@a', '1' * 64)} );"),
        "description-content",
        Stock.REFUSES,
    ),
    Case(
        "encrypted, on a device without key",
        package(image(_ENCRYPTED), a=bytes(4096)),
        "config-key",
        Stock.REFUSES,
    ),
    Case(
        "encrypted with another key",
        package(image(_ENCRYPTED), a=PAYLOAD[:4096]),
        "payload-format",
        Stock.SPOILS,
        key=True,
    ),
    Case(
        "encrypted with another key and compressed",
        package(image(f'{_ENCRYPTED} compressed = "zlib";'), a=PAYLOAD[:4096]),
        "payload-format",
        Stock.REFUSES,
        key=True,
    ),
    Case(
        "encrypted, cut within a block",
        package(image(_ENCRYPTED), a=bytes(4090)),
        "payload-format",
        Stock.SPOILS,
        key=True,
    ),
    Case(
        "encrypted, and empty", package(image(_ENCRYPTED), a=b""), "payload-format", Stock.REFUSES, key=True
    ),
)

# librsync doc/formats.md: magic, then commands: 0 end, 1 to 64 literals, 65 to 68 literals with a length of
# 1, 2, 4, 8 bytes, 69 to 84 copies with a position and a length of as many each.
_MAGIC: Final = b"rs\x026"
_END: Final = b"\0"


def _literal(data: bytes) -> bytes:
    return b"\x43" + len(data).to_bytes(4, "big") + data


def _copy(position: int, length: int) -> bytes:
    return b"\x54" + position.to_bytes(8, "big") + length.to_bytes(8, "big")


_GOOD: Final = _MAGIC + _copy(0, 8192) + _literal(PAYLOAD) + _END


def _delta(name: str, delta: bytes, code: str, stock: Stock, when: When = When.FIRST, late: str = "",
           more: str = f'rdiffbase = "{RUNNING}";') -> Case:  # fmt: skip
    return Case(
        name,
        package(image(f"properties: {{ {more} }};", kind="rdiff_image"), a=delta),
        code,
        stock,
        when,
        late,
    )


_DELTAS: Final = (
    _delta("no delta at all", PAYLOAD, "delta-format", Stock.REFUSES),
    _delta("an empty delta", b"", "delta-format", Stock.NOTHING),
    _delta("cut in a literal", _GOOD[:-500], "delta-format", Stock.INSTALLS),
    _delta("without its end", _GOOD[:-1], "delta-format", Stock.INSTALLS),
    _delta(
        "a command that does not exist",
        _MAGIC + _literal(PAYLOAD) + b"\xaa" + _END,
        "delta-format",
        Stock.REFUSES,
    ),
    _delta("more behind its end", _GOOD + _GOOD, "delta-format", Stock.SPOILS),
    _delta(
        "a copy from behind the base",
        _MAGIC + _literal(PAYLOAD) + _copy(1 << 40, 4096) + _END,
        "delta-base",
        Stock.REFUSES,
    ),
    _delta(
        "a copy from a negative position",
        _MAGIC + _copy((1 << 64) - 4096, 4096) + _END,
        "delta-base",
        Stock.REFUSES,
    ),
    _delta("a copy of 2^63 bytes", _MAGIC + _copy(0, 1 << 63) + _END, "delta-base", Stock.REFUSES),
    _delta("a copy of no bytes", _MAGIC + _copy(0, 0) + _END, "delta-format", Stock.REFUSES),
    _delta(
        "a literal of 2^62 bytes",
        _MAGIC + b"\x44" + (1 << 62).to_bytes(8, "big") + PAYLOAD,
        "delta-format",
        Stock.INSTALLS,
    ),
    _delta(
        "a result larger than the slot", _MAGIC + _copy(0, SLOT_SIZE) * 2 + _END, "slot-size", Stock.SPOILS
    ),
    _delta(
        "a thousand copies of all of the base",
        _MAGIC + _copy(0, SLOT_SIZE) * 1000 + _END,
        "slot-size",
        Stock.SPOILS,
    ),
    _delta(
        "another base than the description says",
        _GOOD,
        "delta-base",
        Stock.INSTALLS,
        more=f'rdiffbase = "{RUNNING}"; base-size = "4194304"; base-sha256 = "{"0" * 64}";',
    ),
    _delta(
        "a base that is larger than the device",
        _GOOD,
        "delta-base",
        Stock.INSTALLS,
        more=f'rdiffbase = "{RUNNING}"; base-size = "99999999";',
    ),
    _delta(
        "another result than the description says",
        _GOOD,
        "result-mismatch",
        Stock.INSTALLS,
        When.SPOILT,
        _RESULT,
        more=f'rdiffbase = "{RUNNING}"; image-size = "18232"; image-sha256 = "{"0" * 64}";',
    ),
    _delta(
        "a result of another size than the description says",
        _GOOD,
        "result-mismatch",
        Stock.INSTALLS,
        more=f'rdiffbase = "{RUNNING}"; image-size = "18231";',
    ),
    _delta("no base", _GOOD, "description-content", Stock.REFUSES, more=""),
    _delta(
        "a base that is not there", _GOOD, "slot-unreadable", Stock.REFUSES, more='rdiffbase = "/dev/none";'
    ),
    _delta("a base that is the target", _GOOD, "delta-base", Stock.INSTALLS, more=f'rdiffbase = "{SLOT}";'),
)


def _integer(value: int) -> bytes:
    """zchunk_format.txt, "compressed integer"."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F)
        value >>= 7
    return bytes([*groups, value | 0x80])


def _header(*chunks: tuple[int, int], count: int | None = None, flags: int = 4, hash_type: int = 1,
            index_size: int | None = None) -> bytes:  # fmt: skip
    """A zchunk header of (coded length, plain length), its own checksum right."""
    size = 20 if hash_type == 0 else 32
    digests = [hashlib.sha256(bytes(n)).digest()[:size] for n, _ in enumerate(chunks, 1)]
    twice = 2 if flags & 4 else 1
    rows = [bytes(size) * twice + _integer(0) * 2]
    rows += [
        digest * twice + _integer(a) + _integer(b) for digest, (a, b) in zip(digests, chunks, strict=True)
    ]
    index = _integer(hash_type) + _integer(len(rows) if count is None else count) + b"".join(rows)
    body = bytes(32) + _integer(flags) + _integer(0)
    body += _integer(len(index) if index_size is None else index_size) + index + _integer(0)
    lead = b"\0ZCK1" + _integer(1) + _integer(len(body))
    return lead + hashlib.sha256(lead + body).digest() + body


_URL: Final = 'url = "http://127.0.0.1:9/a.zck"; chain = "raw"; source = "/dev/mmcblk0p2";'


def _chunked(name: str, header: bytes, code: str, stock: Stock, more: str = _URL) -> Case:
    return Case(name, package(image(f"properties: {{ {more} }};", kind="delta"), a=header), code, stock)


_FINE: Final = _header((1000, 1000), (2000, 2000))

_HEADERS: Final = (
    _chunked("no zchunk header", PAYLOAD, "header-format", Stock.NOTHING),
    _chunked("a header that is cut", _FINE[:-20], "header-format", Stock.NOTHING),
    _chunked("a damaged header", _FINE[:-20] + b"\xff" + _FINE[-19:], "header-format", Stock.NOTHING),
    _chunked("a count of 2^60 chunks", _header((1000, 1000), count=1 << 60), "header-format", Stock.REFUSES),
    _chunked(
        "a count of more chunks than follow", _header((1000, 1000), count=9), "header-format", Stock.REFUSES
    ),
    _chunked("no chunk, not even the dictionary's", _header(count=0), "header-format", Stock.NOTHING),
    _chunked(
        "an index larger than the header", _header((9, 9), index_size=1 << 40), "header-format", Stock.NOTHING
    ),
    _chunked("an integer of 20 bytes", _header((1 << 139, 9)), "header-format", Stock.NOTHING),
    _chunked(
        "a chunk of 2^62 bytes", _header((1000, 1 << 62), (1000, 1 << 62)), "header-format", Stock.REFUSES
    ),
    _chunked("chunks without length", _header((0, 0), (0, 0)), "header-format", Stock.REFUSES),
    _chunked(
        "chunks that do not add up to the image",
        _FINE,
        "header-format",
        Stock.REFUSES,
        f'{_URL} image-size = "3001";',
    ),
    _chunked("chunks of more than the slot", _header(*[(9, 1 << 20)] * 5), "slot-size", Stock.REFUSES),
    _chunked("an image of many TiB", _header(*[(9, 60 << 20)] * 100_000), "slot-size", Stock.REFUSES),
    _chunked("digests of coded bytes only", _header((9, 9), flags=0), "header-unsupported", Stock.REFUSES),
    _chunked("SHA-1 digests", _header((9, 9), flags=0, hash_type=0), "header-unsupported", Stock.REFUSES),
    _chunked("flags that nobody knows", _header((9, 9), flags=0x404), "header-unsupported", Stock.NOTHING),
    _chunked(
        "no url", _FINE, "description-content", Stock.CHANCE, 'chain = "raw"; source = "/dev/mmcblk0p2";'
    ),
    _chunked("a file:// url", _FINE, "description-content", Stock.REFUSES, _URL.replace("http", "file")),
    _chunked(
        "delta in a delta", _FINE, "description-content", Stock.CHANCE, _URL.replace('"raw"', '"delta"')
    ),
    _chunked("a server that is not there", _FINE, "connect", Stock.REFUSES),
)

GROUPS: Final = {
    "Compressed images": _COMPRESSIONS,
    "Digests and keys": _SECRETS,
    "rdiff deltas": _DELTAS,
    "zchunk headers": _HEADERS,
}
