"""An image of 4 GiB and its successor, as eight file systems in one, each chunk another.

A real one would take minutes to compress. This one has the chunk lengths of a real image and as many zeros,
and its .zck, whose chunks are stored as they are, holds only those that an update fetches.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.formats import zchunk
from ota.formats.zchunk import Header

COPIES: Final = 8
CHANGED: Final = 50  # one chunk in so many differs in the successor


@dataclass(frozen=True, slots=True)
class Big:
    """Two releases; the older one lies in a slot."""

    old: bytes  # its zchunk header
    new: bytes
    sha256: str  # of the newer image
    size: int  # bytes


def make(image: Path, cut: Header, slot: Path, published: Path) -> Big:
    """Write the old release into a slot that is all zero, and what the new one needs into `published`.

    Args:
        image: a real one.
        cut: its chunks.
    """
    old: list[tuple[bytes, int]] = []
    new: list[tuple[bytes, int]] = []
    changed: dict[int, bytes] = {}  # chunk number -> bytes; 2 % of the image
    whole = hashlib.sha256()
    with slot.open("r+b") as target:
        for number, data in enumerate(_chunks(image, cut)):
            old.append((hashlib.sha256(data).digest(), len(data)))
            new.append(old[-1])
            if _is_zero(data):
                target.seek(len(data), os.SEEK_CUR)
            else:
                target.write(data)
                if number % CHANGED == 0:
                    data = changed[number] = data[::-1]
                    new[-1] = (hashlib.sha256(data).digest(), len(data))
            whole.update(data)
        target.flush()
        os.fsync(target.fileno())
    header = zchunk.render(new)
    _write_zck(published, header, changed)
    return Big(zchunk.render(old), header, whole.hexdigest(), cut.image_size * COPIES)


def _chunks(image: Path, cut: Header) -> Iterator[bytes]:
    """Those of a real image, again and again; what is not zero begins with its number."""
    for copy in range(COPIES):
        with image.open("rb") as file:
            for number in range(len(cut)):
                data = file.read(cut.offset(number + 1) - cut.offset(number))
                stamp = (copy * len(cut) + number).to_bytes(8)
                yield data if _is_zero(data) else stamp + data[8:]


def _is_zero(data: bytes) -> bool:
    return data == bytes(len(data))  # ten times as fast as to count


def _write_zck(path: Path, header: bytes, chunks: dict[int, bytes]) -> None:
    parsed = zchunk.parse_manifest(header)
    with path.open("wb") as file:
        file.write(header)
        for number, data in chunks.items():
            file.seek(parsed.chunk(number).start)
            file.write(data)
        file.truncate(parsed.file_size)
