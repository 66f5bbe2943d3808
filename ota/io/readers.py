"""Readers that wrap readers: limit, digest, decompression. Nothing here holds more than a block."""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Final, Literal, cast

import zstandard

from ota.errors import TrustError, UpdateError
from ota.formats.selection import Compression
from ota.interfaces import Reader

BLOCK: Final = 1 << 20  # bytes; what is read, hashed and written at a time
_PIECE: Final = 256 << 10  # bytes; of zstd: several lie in memory at a time, beside its window

Stream = Compression | Literal["bzip2"]
"""What archives are compressed with inside; an entry's `compressed` knows all but bzip2."""


def blocks(reader: Reader, size: int = BLOCK) -> Iterator[bytes]:
    """The reader's bytes in blocks of exactly `size`, the last one excepted."""
    while block := read_full(reader, size):
        yield block


def read_full(reader: Reader, size: int) -> bytes:
    """`size` bytes, or fewer where the reader ends."""
    pieces = []
    while size and (piece := reader.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def unwrapped(source: Reader, memory: int, what: str) -> Reader:
    """The reader's bytes, decompressed (once) where they begin as a compressed stream does."""
    head = read_full(source, 10)
    whole = _Chain(io.BytesIO(head), source)
    for compression, magic in _MAGIC.items():
        if re.match(magic, head, re.DOTALL):
            return Decompress(whole, compression, memory, what)
    return whole


class Digest:
    """Proves sha256 once the last byte went by: the read that finds the end raises on a mismatch."""

    def __init__(self, source: Reader, expected: str, what: str) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.expected = expected
        self._what = what

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        if not data and self._hash.hexdigest() != self.expected:
            raise TrustError(
                "digest-mismatch", self._what, expected=self.expected, found=self._hash.hexdigest()
            )
        return data


class Decompress:
    """Plain bytes of a zlib (gzip wrapper), xz, zstd, lz4 or bzip2 stream.

    Args:
        memory: bytes that the decoder may take; xz and zstd streams say in front what they need.

    Raises:
        UpdateError: "payload-format": malformed, cut short, or with something behind its end.
    """

    def __init__(self, source: Reader, compression: Stream, memory: int, what: str) -> None:
        self._what = f"{what} ({compression})"
        self._plain = self._decode(_DECODERS[compression](source, memory))
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            try:
                self._rest = next(self._plain)
            except StopIteration:
                return b""
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _decode(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
            raise UpdateError("payload-format", f"{self._what}: {error}") from error


def _zlib(source: Reader, _memory: int) -> Iterator[bytes]:
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)  # SWUpdate's "zlib" is a gzip stream
    pending = b""
    while not decoder.eof:
        pending = pending or source.read(BLOCK)
        if not pending:
            raise EOFError("it is cut short")
        yield decoder.decompress(pending, BLOCK)
        pending = decoder.unconsumed_tail
    _expect_end(source, decoder.unused_data)


def _xz(source: Reader, memory: int) -> Iterator[bytes]:
    decoder = lzma.LZMADecompressor(memlimit=memory)
    while not decoder.eof:
        data = source.read(BLOCK) if decoder.needs_input else b""
        if decoder.needs_input and not data:
            raise EOFError("it is cut short")
        yield decoder.decompress(data, BLOCK)
    _expect_end(source, decoder.unused_data)


def _zstd(source: Reader, memory: int) -> Iterator[bytes]:
    # The library ends quietly where a frame is cut short. So a frame of our own follows the last one:
    # only if all frames before it were whole does its content come out at the end.
    marker = b"otakit: the zstd stream is whole"
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(marker)
    decoder = zstandard.ZstdDecompressor(max_window_size=memory)
    held = b""
    first = source.read(_PIECE)
    if not first:
        raise EOFError("it is empty")
    whole = _Chain(_Chain(io.BytesIO(first), source), io.BytesIO(frame))
    chained = cast(IO[bytes], whole)  # of a file, the library needs `read` alone
    with decoder.stream_reader(chained, read_size=_PIECE, read_across_frames=True) as stream:
        while data := stream.read(_PIECE):
            held += data
            yield held[: -len(marker)]
            held = held[-len(marker) :]
    if held != marker:
        raise EOFError("it is cut short")


def _lz4(source: Reader, _memory: int) -> Iterator[bytes]:
    from lz4.frame import LZ4FrameDecompressor  # few packages need it: loaded for those

    decoder = LZ4FrameDecompressor()
    try:
        while not decoder.eof:
            data = source.read(BLOCK) if decoder.needs_input else b""
            if decoder.needs_input and not data:
                raise EOFError("it is cut short")
            yield decoder.decompress(data, BLOCK)
    except RuntimeError as error:  # the library's one kind of error
        raise EOFError(str(error)) from error
    _expect_end(source, decoder.unused_data or b"")


def _bzip2(source: Reader, _memory: int) -> Iterator[bytes]:
    decoder = bz2.BZ2Decompressor()
    while not decoder.eof:
        data = source.read(BLOCK) if decoder.needs_input else b""
        if decoder.needs_input and not data:
            raise EOFError("it is cut short")
        try:
            piece = decoder.decompress(data, BLOCK)
        except OSError as error:  # the library's one kind of error
            raise EOFError(str(error)) from error
        yield piece
    _expect_end(source, decoder.unused_data)


class _Chain:
    """A reader followed by another."""

    def __init__(self, first: Reader, second: Reader) -> None:
        self._first = first
        self._second = second

    def read(self, size: int = -1, /) -> bytes:
        return self._first.read(size) or self._second.read(size)


_DECODERS: Final[Mapping[str, Callable[[Reader, int], Iterator[bytes]]]] = {
    Compression.ZLIB: _zlib,
    Compression.XZ: _xz,
    Compression.ZSTD: _zstd,
    Compression.LZ4: _lz4,
    "bzip2": _bzip2,
}

# What each begins with: RFC 1952, 2.3.1; xz-file-format.txt, 2.1.1.1; RFC 8878, 3.1.1 and 3.1.2;
# lz4_Frame_format.md; of bzip2 "BZh", a level, and the number pi; of the older lzma files, which xz reads,
# usual properties and a dictionary that is not empty.
_MAGIC: Final[Mapping[Stream, bytes]] = {
    Compression.ZLIB: rb"\x1f\x8b\x08",
    Compression.XZ: rb"\xfd7zXZ\0|\x5d\0\0(?!\0\0)",
    Compression.ZSTD: rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
    Compression.LZ4: rb"\x04\x22\x4d\x18",
    "bzip2": rb"BZh[1-9]\x31\x41\x59\x26\x53\x59",
}


def _expect_end(source: Reader, unused: bytes) -> None:
    if unused or source.read(1):
        raise EOFError("there is something behind its end")
