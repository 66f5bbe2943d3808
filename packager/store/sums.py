"""What a file is told by, without its bytes: its size, its sha256, and sums of its parts.

S3 keeps two sums of an object that was sent in parts: the ETag, md5 over the md5 of all parts, and, where it
was asked for, a "composite" sha256 made in the same way (Amazon S3 user guide, "Checking object integrity").
An object that was sent in one piece has plain ones. So both can be foreseen from the file, if the parts are
those of `PART`; a store that encrypts by itself has other ETags, and then the object has to be read.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ota.interfaces import Reader

PART: Final = 8 << 20  # bytes; S3 takes no less than 5 MiB, but for the last part
MAX_PARTS: Final = 10_000  # S3's limit; a file that has more gets larger parts

_BLOCK: Final = 1 << 20


class Held(StrEnum):
    """Whether a store holds a file; where it does, what tells."""

    ABSENT = "absent"
    DIFFERENT = "different"
    CHECKSUM = "sha256 kept by the store"
    ETAG = "ETag"
    READ = "read back"

    @property
    def is_equal(self) -> bool:
        return self not in (Held.ABSENT, Held.DIFFERENT)


@dataclass(frozen=True, slots=True)
class Sent:
    """What it took to bring a file into a store; counts add up."""

    sent_bytes: int = 0
    skipped_bytes: int = 0  # were there already
    parts: int = 0  # that were sent
    resumed_parts: int = 0  # that an earlier attempt had sent

    def __add__(self, other: Sent) -> Sent:
        return Sent(
            self.sent_bytes + other.sent_bytes,
            self.skipped_bytes + other.skipped_bytes,
            self.parts + other.parts,
            self.resumed_parts + other.resumed_parts,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `[start, start + size)` of a file."""

    number: int  # from 1, as S3 counts
    start: int  # bytes
    size: int  # bytes
    md5: bytes
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one file."""

    size: int  # bytes
    sha256: str
    parts: tuple[Part, ...]  # one at least; an empty file's is empty

    @property
    def etag(self) -> str:
        """As S3 makes it."""
        if len(self.parts) == 1:
            return self.parts[0].md5.hex()
        md5s = b"".join(part.md5 for part in self.parts)
        return f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(self.parts)}"

    @property
    def checksum(self) -> str:
        """S3's ChecksumSHA256, without the number of parts that some stores append."""
        if len(self.parts) == 1:
            return encoded(self.parts[0].sha256)
        return encoded(hashlib.sha256(b"".join(part.sha256 for part in self.parts)).digest())

    def judge(self, size: int, checksum: str | None, etag: str | None) -> Held | None:
        """What a store's own figures of an object say; None: only reading it will tell."""
        if size != self.size:
            return Held.DIFFERENT
        if checksum is not None and checksum.split("-")[0] == self.checksum:
            return Held.CHECKSUM
        if etag is not None and etag.strip('"') == self.etag:
            return Held.ETAG
        return None


def measure(path: Path) -> Sums:
    """Of a file; one pass over it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        return summed(file, part_size(size))


def part_size(size: int) -> int:
    """Bytes in each part but the last, of a file of that size."""
    return max(PART, -(-size // MAX_PARTS))


def summed(file: Reader, part: int) -> Sums:
    """Of whatever a reader gives, in parts of that many bytes."""
    whole, parts, start = hashlib.sha256(), list[Part](), 0
    while not parts or parts[-1].size == part:
        md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        while size < part and (block := file.read(min(_BLOCK, part - size))):
            for digest in (whole, md5, sha256):
                digest.update(block)
            size += len(block)
        if size or not parts:
            parts.append(Part(len(parts) + 1, start, size, md5.digest(), sha256.digest()))
        else:
            break
        start += size
    return Sums(start, whole.hexdigest(), tuple(parts))


def encoded(digest: bytes) -> str:
    """As S3's headers state a digest."""
    return base64.b64encode(digest).decode()
