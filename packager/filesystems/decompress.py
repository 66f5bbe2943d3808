"""Blocks that a file system holds compressed, each with a bound on what may come out."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import lz4.block
import zstandard

Decompress = Callable[[bytes, int], bytes]
"""(coded bytes, the most that may come out) -> plain bytes.

Raises:
    ValueError: they are damaged, or more would come out.
"""

_MEMORY: Final = 256 << 20  # bytes; xz, whose dictionary the image chooses


def _zlib(coded: bytes, most: int) -> bytes:
    decoder = zlib.decompressobj()
    try:
        plain = decoder.decompress(coded, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return _ended(plain, decoder.eof)


def _lzma(coded: bytes, most: int) -> bytes:
    decoder = lzma.LZMADecompressor(memlimit=_MEMORY)
    try:
        plain = decoder.decompress(coded, most)
    except (lzma.LZMAError, MemoryError) as error:
        raise ValueError(str(error)) from error
    return plain  # an end mark is not in all of them


def _lz4(coded: bytes, most: int) -> bytes:
    try:
        plain: bytes = lz4.block.decompress(coded, uncompressed_size=most)
    except (lz4.block.LZ4BlockError, MemoryError) as error:
        raise ValueError(str(error)) from error
    return plain


def _zstd(coded: bytes, most: int) -> bytes:
    try:
        if zstandard.frame_content_size(coded) > most:  # it would be allocated as the frame says
            raise ValueError("a frame is too long")
        return zstandard.ZstdDecompressor().decompress(coded, max_output_size=most)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _ended(plain: bytes, is_ended: bool) -> bytes:
    if not is_ended:
        raise ValueError("a compressed block is cut short, or too long")
    return plain


BY_NAME: Final[Mapping[str, Decompress]] = {
    "gzip": _zlib, "lzma": _lzma, "xz": _lzma, "lz4": _lz4, "zstd": _zstd,
}  # fmt: skip
