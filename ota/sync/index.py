"""Find out what a slot holds where no manifest tells: cut it into chunks as zchunk does and hash them."""

from __future__ import annotations

import hashlib
from typing import Final

from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import BlockTarget, Event, Progress
from ota.native.chunker import Chunker

BLOCK: Final = 1 << 20  # bytes


def index(target: BlockTarget, start: int, size: int, progress: Progress) -> tuple[Header, str]:
    """Read `size` bytes of a target, from `start` on, once.

    Returns:
        The manifest of them, and their sha256 as hex.
    """
    chunker = Chunker()
    whole, current = hashlib.sha256(), hashlib.sha256()
    chunks: list[tuple[bytes, int]] = []
    in_current = 0  # bytes of the current chunk that `current` has seen
    for offset in range(0, size, BLOCK):
        view = memoryview(target.read_at(start + offset, min(BLOCK, size - offset)))
        whole.update(view)
        for length in chunker.feed(view):
            # The boundary may lie before bytes that were fed; it never lies before hashed ones of the
            # last block, because a chunk ends no later than the block that completes it.
            rest = length - in_current
            current.update(view[:rest])
            chunks.append((current.digest(), length))
            view = view[rest:]
            current, in_current = hashlib.sha256(), 0
        current.update(view)
        in_current += len(view)
        progress(Event("index", min(offset + BLOCK, size), size))
    if last := chunker.finish():
        chunks.append((current.digest(), last))
    return zchunk.parse_manifest(zchunk.render(chunks)), whole.hexdigest()
