"""What a device would fetch: the coded bytes of the chunks that an image has and its base lacks.

A finding is priced by undoing it: bytes of the image are replaced in a draft, which never reaches the file,
and what the update then takes is held against what it takes now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Final

import zstandard

from ota.native.chunker import Chunker
from packager import zck
from packager.lint.draft import Draft

_PIECE: Final = 4 << 20  # bytes


class Base:
    """The image that devices have; prices others against it."""

    def __init__(self, image: Draft) -> None:
        self._known = {digest for digest, _, _ in _chunks(image)}
        self._coded: dict[bytes, int] = {}  # digest -> bytes in the .zck

    def missing(self, image: Draft) -> int:
        """Coded bytes of the chunks that the base lacks, each chunk once. Zeros are not fetched."""
        lacking = {
            digest: (start, stop) for digest, start, stop in _chunks(image) if digest not in self._known
        }
        new = [(digest, place) for digest, place in lacking.items() if digest not in self._coded]
        with ThreadPoolExecutor(cpu_count()) as pool:
            sizes = pool.map(lambda row: _coded_size(image[slice(*row[1])]), new)
            self._coded.update((digest, size) for (digest, _), size in zip(new, sizes, strict=True))
        return sum(self._coded[digest] for digest in lacking)


def _chunks(image: Draft) -> Iterator[tuple[bytes, int, int]]:
    """(sha256, start, stop) of each, in order."""
    start = 0
    for length in _lengths(image):
        yield hashlib.sha256(image[start : start + length]).digest(), start, start + length
        start += length


def _lengths(image: Draft) -> Iterator[int]:
    chunker = Chunker()
    for at in range(0, len(image), _PIECE):
        yield from chunker.feed(image[at : at + _PIECE])
    if last := chunker.finish():
        yield last


def _coded_size(plain: bytes) -> int:
    if plain.count(0) == len(plain):
        return 0
    return len(zstandard.ZstdCompressor(level=zck.LEVEL).compress(plain))
