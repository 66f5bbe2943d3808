"""Find out what is left of a slot that an update had begun to write, or whether it was ever written."""

from __future__ import annotations

import hashlib
import heapq
from array import array
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


class Pieces:
    """Chunks, packed."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._lengths = array("I")
        self._digests = bytearray()

    def append(self, piece: Piece) -> None:
        self._offsets.append(piece.offset)
        self._lengths.append(piece.length)
        self._digests += piece.digest

    def __iter__(self) -> Iterator[Piece]:
        """Ascending by offset."""
        size = len(NOTHING)
        for number in sorted(range(len(self._offsets)), key=self._offsets.__getitem__):
            digest = bytes(self._digests[number * size : (number + 1) * size])
            yield Piece(self._offsets[number], self._lengths[number], digest)


def prove(manifests: Sequence[Header], target: BlockTarget, progress: Progress) -> Pieces:
    """Read a target once; returns which chunks of any of these manifests it holds.

    Raises:
        DeviceError: it cannot be read.
    """
    found = Pieces()
    for piece, is_right in look(manifests, target, progress):
        if is_right:
            found.append(piece)
    return found


def look(
    manifests: Sequence[Header], target: BlockTarget, progress: Progress
) -> Iterator[tuple[Piece, bool]]:
    """Read a target once; yields each chunk of these manifests, once it was read, and whether it is right.

    Raises:
        DeviceError: it cannot be read.
    """
    coming = (piece for piece, _ in groupby(heapq.merge(*map(_pieces, manifests))))
    following = next(coming, None)
    end = min(target.size, max((manifest.image_size for manifest in manifests), default=0))
    # Where manifests cut differently, chunks overlap: all that the scan is in the midst of.
    current: list[tuple[Piece, Any]] = []  # the digests' type has no public name
    offset = 0
    for block in target.scan(0, end):
        stop = offset + len(block)
        while following and following.offset < stop:
            current.append((following, hashlib.sha256()))
            following = next(coming, None)
        for piece, digest in current:
            digest.update(block[max(0, piece.offset - offset) : piece.stop - offset])
            if piece.stop <= stop:
                yield piece, digest.digest() == piece.digest
        current = [(piece, digest) for piece, digest in current if piece.stop > stop]
        offset = stop
        progress(Event("verify", offset, end))
    rest = [following] if following else []
    for piece in (*(piece for piece, _ in current), *rest, *coming):  # behind the target's end
        yield piece, False


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
