"""Find out what is left of a slot that an update had begun to write, or whether it was ever written."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from ota.formats import zchunk
from ota.formats.zchunk import HashType, Header
from ota.interfaces import BlockTarget, Event, Progress

NOTHING: Final = bytes(HashType.SHA256.size)  # a digest that no bytes are known to have

_SAMPLES: Final = 256
_SAMPLE: Final = 4096  # bytes


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """A chunk, where it lies."""

    offset: int  # bytes
    length: int  # bytes
    digest: bytes  # sha256

    @property
    def stop(self) -> int:
        return self.offset + self.length


def prove(manifests: Sequence[Header], target: BlockTarget, progress: Progress) -> list[Piece]:
    """Read a target once; returns which chunks of any of these manifests it holds, ascending by offset.

    Raises:
        DeviceError: it cannot be read.
    """
    pieces = (piece for piece, _ in groupby(heapq.merge(*map(_pieces, manifests))))
    coming = next(pieces, None)
    end = min(target.size, max((manifest.image_size for manifest in manifests), default=0))
    found: list[Piece] = []
    # Where manifests cut differently, chunks overlap: all that the scan is in the midst of.
    current: list[tuple[Piece, Any]] = []  # the digests' type has no public name
    offset = 0
    for block in target.scan(0, end):
        stop = offset + len(block)
        while coming and coming.offset < stop:
            current.append((coming, hashlib.sha256()))
            coming = next(pieces, None)
        for piece, digest in current:
            digest.update(block[max(0, piece.offset - offset) : piece.stop - offset])
            if piece.stop <= stop and digest.digest() == piece.digest:
                found.append(piece)
        current = [(piece, digest) for piece, digest in current if piece.stop > stop]
        offset = stop
        progress(Event("verify", offset, end))
    return sorted(found)


def tiling(pieces: Iterable[Piece]) -> Header:
    """A manifest of these chunks, and of nothing in between; of chunks that overlap it has one.

    Args:
        pieces: ascending by offset.
    """
    return zchunk.parse_manifest(zchunk.render(_tiles(pieces)))


def is_blank(target: BlockTarget) -> bool:
    """Whether samples all over a target have but one value, 0x00 or 0xff: as erased, not as written.

    Raises:
        DeviceError: it cannot be read.
    """
    size = min(_SAMPLE, target.size)
    last = target.size - size
    values: set[int] = set()
    for sample in range(_SAMPLES):
        values.update(target.read_at(last * sample // (_SAMPLES - 1), size))
        if len(values) > 1:
            return False
    return values <= {0x00} or values <= {0xFF}


def _pieces(manifest: Header) -> Iterator[Piece]:
    for number in range(len(manifest)):
        start, stop = manifest.offset(number), manifest.offset(number + 1)
        yield Piece(start, stop - start, manifest.digest(number))


def _tiles(pieces: Iterable[Piece]) -> Iterator[tuple[bytes, int]]:
    """(sha256, length) of each chunk."""
    reached = 0
    for piece in pieces:
        if piece.offset < reached:
            continue
        for start in range(reached, piece.offset, zchunk.MAX_CHUNK):
            yield NOTHING, min(zchunk.MAX_CHUNK, piece.offset - start)
        yield piece.digest, piece.length
        reached = piece.stop
