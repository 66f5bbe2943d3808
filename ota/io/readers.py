"""Readers that wrap readers: limit, digest, decompression. Nothing here holds more than a block."""

from __future__ import annotations

import hashlib
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import IO, Final, cast

import zstandard

from ota.errors import TrustError, UpdateError
from ota.formats.selection import Compression
from ota.interfaces import Reader

BLOCK: Final = 1 << 20  # bytes; what is read, hashed and written at a time


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
    """Plain bytes of a zlib (gzip wrapper), xz, zstd or lz4 stream.

    Args:
        memory: bytes that the decoder may take; xz and zstd streams say in front what they need.

    Raises:
        UpdateError: "payload-format": malformed, cut short, or with something behind its end.
    """

    def __init__(self, source: Reader, compression: Compression, memory: int, what: str) -> None:
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
    first = source.read(BLOCK)
    if not first:
        raise EOFError("it is empty")
    chained = cast(IO[bytes], _Chain(first, source, frame))  # of a file, the library needs `read` alone
    with decoder.stream_reader(chained, read_size=BLOCK, read_across_frames=True) as stream:
        while data := stream.read(BLOCK):
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


class _Chain:
    """A reader between some first bytes and some last."""

    def __init__(self, first: bytes, source: Reader, last: bytes) -> None:
        self._first = io.BytesIO(first)
        self._source = source
        self._last = io.BytesIO(last)

    def read(self, size: int = -1, /) -> bytes:
        return self._first.read(size) or self._source.read(size) or self._last.read(size)


_DECODERS: Final = {
    Compression.ZLIB: _zlib,
    Compression.XZ: _xz,
    Compression.ZSTD: _zstd,
    Compression.LZ4: _lz4,
}


def _expect_end(source: Reader, unused: bytes) -> None:
    if unused or source.read(1):
        raise EOFError("there is something behind its end")
