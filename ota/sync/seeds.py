"""The manifests of seeds that are no slots, kept in the state folder: such a seed is cut into chunks once.

    <state>/seeds/<key>.zck-header  manifest; the key is 16 hex digits of the sha256 of the seed's path
    <state>/seeds/<key>.json        the seed as it was then: path, size, mtime_ns

Nobody tells when a seed changes. A file tells it by its size and time; of a block device some chunks are
proved. What goes unnoticed costs fetches, no more: each chunk is proved when it is copied.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ota.errors import OtaError
from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import BlockTarget, Progress
from ota.io import durable
from ota.io.target import Target
from ota.sync.index import index

_SAMPLES: Final = 16  # chunks of a block device


@dataclass(frozen=True, slots=True)
class _Stamp:
    """By what a changed seed is known."""

    path: str
    size: int  # bytes
    mtime_ns: int  # 0 for a block device, whose node's time tells nothing


class Seeds:
    """The manifests of seeds, below one folder."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder / "seeds"
        self._progress = progress

    def manifest(self, path: Path) -> Header:
        """What a file or block device holds.

        Raises:
            DeviceError: it cannot be read, or the state folder cannot be written.
        """
        with Target(path) as seed:
            stamp = _Stamp(str(path), seed.size, 0 if path.is_block_device() else path.stat().st_mtime_ns)
            known = self._known(stamp)
            if known and (path.is_file() or _looks_right(known, seed)):
                return known
            header, _ = index(seed, 0, seed.size, self._progress)
        # A cut in between leaves the stamp of what the seed was, not of what it is.
        durable.replace(self._path(stamp, "zck-header"), header.data)
        durable.replace(self._path(stamp, "json"), json.dumps(asdict(stamp)).encode())
        return header

    def _known(self, stamp: _Stamp) -> Header | None:
        try:
            if json.loads(self._path(stamp, "json").read_bytes()) != asdict(stamp):
                return None
            return zchunk.parse_manifest(self._path(stamp, "zck-header").read_bytes())
        except (OSError, ValueError, OtaError):
            return None

    def _path(self, stamp: _Stamp, suffix: str) -> Path:
        key = hashlib.sha256(stamp.path.encode()).hexdigest()[:16]
        return self._folder / f"{key}.{suffix}"


def _looks_right(manifest: Header, seed: BlockTarget) -> bool:
    """Whether chunks spread evenly over a seed are those of its manifest."""
    last = len(manifest) - 1
    for number in {last * sample // (_SAMPLES - 1) for sample in range(_SAMPLES) if last >= 0}:
        chunk = manifest.chunk(number)
        if hashlib.sha256(seed.read_at(chunk.offset, chunk.length)).digest() != chunk.digest:
            return False
    return True
