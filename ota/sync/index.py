"""Find out what a slot holds where no manifest tells: cut it into chunks as zchunk does and hash them."""

from __future__ import annotations

import hashlib

from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import BlockTarget, Event, Progress
from ota.native.chunker import Chunker


def index(target: BlockTarget, start: int, size: int, progress: Progress) -> tuple[Header, str]:
    """Read `size` bytes of a target, from `start` on, once.

    Returns:
        The manifest of them, and their sha256 as hex.
    """
    chunker = Chunker()
    whole, current = hashlib.sha256(), hashlib.sha256()
    chunks: list[tuple[bytes, int]] = []
    in_current = 0  # bytes of the current chunk that `current` has seen
    done = 0
    for block in target.scan(start, start + size):
        view = block
        whole.update(view)
        for length in chunker.feed(view):
            # A boundary never lies before bytes that `current` has seen: a chunk ends in the block that
            # completes it, at its start at the earliest.
            rest = length - in_current
            current.update(view[:rest])
            chunks.append((current.digest(), length))
            view = view[rest:]
            current, in_current = hashlib.sha256(), 0
        current.update(view)
        in_current += len(view)
        done += len(block)
        progress(Event("index", done, size))
    if last := chunker.finish():
        chunks.append((current.digest(), last))
    return zchunk.parse_manifest(zchunk.render(chunks)), whole.hexdigest()
