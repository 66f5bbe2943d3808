"""Why an update costs what it costs: the bytes that devices with the old image fetch, by who causes them.

A device fetches the chunks that the old image lacks, as they lie in the .zck. Each such chunk is paid by
what is new in it: it is cut where files and tables of the file system lie, and then into blocks; blocks that
the old image holds somewhere pay nothing, as long as there are others. Where all of a chunk is known, and
only its place or its company is new, all pay by their length. The shares of a chunk make up its bytes.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import zstandard

from ota.errors import ConfigError
from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.native.chunker import Chunker
from packager import filesystems, zck
from packager.changes import Change, Changes
from packager.filesystems import Extent, FileSystem, Kind, Layout
from packager.filesystems.image import Image

BLOCK: Final = 4096  # bytes; of ext4 and erofs
RANGE: Final = 16 << 20  # bytes; what stands for a file where the file system is not known

_READ: Final = 2 << 20  # bytes

_Who = TypeVar("_Who")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who causes bytes."""

    path: str  # in the image; or what it is: "inode tables", "bytes 0 to 16777216"
    kind: Kind
    change: Change
    bytes: int  # coded


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two images.

    Attributes:
        filesystem: of the new one; None: it is not known.
        note: what could not be told, and why.
        missing_bytes: what a device with the old image fetches.
        owners: who causes them, the largest first.
        files: how many were added, changed, ...; None where one side's files are not known.
    """

    old: str
    new: str
    filesystem: str | None
    note: str | None
    missing_bytes: int
    owners: tuple[Owner, ...]
    files: Mapping[str, int] | None

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints and `report.json` holds."""
        return {
            "old": self.old,
            "new": self.new,
            "filesystem": self.filesystem,
            "note": self.note,
            "missing_bytes": self.missing_bytes,
            "files": self.files,
            "owners": [
                {"path": o.path, "kind": o.kind.value, "change": o.change.value, "bytes": o.bytes}
                for o in self.owners
            ],
            "tree": tree(self),
        }

    def lines(self, top: int) -> Iterator[str]:
        """For people: the largest `top`."""
        yield f"{self.old} -> {self.new}: {self.missing_bytes:,} bytes are missing"
        if self.note:
            yield self.note
        sums: Counter[Change] = Counter()
        for owner in self.owners:
            sums[owner.change] += owner.bytes
        yield "bytes: " + ", ".join(f"{sums[change]:,} {change}" for change in Change if sums[change])
        if self.files is not None:
            yield "files: " + ", ".join(f"{count} {change}" for change, count in self.files.items())
        for owner in self.owners[:top]:
            share = 100 * owner.bytes / max(self.missing_bytes, 1)
            yield f"{owner.bytes:>14,}  {share:4.1f} %  {owner.change:8}  {owner.path}"
        if rest := self.owners[top:]:
            yield f"{sum(owner.bytes for owner in rest):>14,}          {len(rest)} more"


def diff(old: Path, new: Path, *, header: Header | None = None, base: Header | None = None) -> Difference:
    """Who causes what a device with `old` fetches to get `new`.

    Args:
        old: an image; or a .zck or manifest, and then only places of bytes are compared.
        new: an image.
        header: of the new image's .zck; without it, what is missing is compressed to see its length.
        base: the old image's manifest; without it, the image is read once more.

    Raises:
        ConfigError: "file-missing" or "image-unreadable".
        UpdateError: "header-...": `old` is a manifest, and a wrong one.
    """
    with ExitStack() as stack:
        image, before = (stack.enter_context(Image(path)) for path in (new, old))
        only = _manifest(before)
        missing = list(_missing(image, header, _digests(before, base or only)))
        system, why = _opened(stack, new)
        older, why_old = (
            (None, "the old image is only known by its manifest") if only else _opened(stack, old)
        )
        changes = Changes(older, system) if system else None
        layout = system.layout() if system else _ranges(image)
        known = _blocks(before, older.layout()) if older else frozenset()
        owners = _attribute(image, layout, missing, known, changes)
        return Difference(
            old.name,
            new.name,
            layout.kind if system else None,
            "; ".join(filter(None, (why, why_old))) or None,
            sum(chunk.coded for chunk in missing),
            tuple(owners),
            changes.counts() if changes and older else None,
        )


def tree(difference: Difference) -> dict[str, Any]:
    """A tree map's data: folders hold files, "file system" holds the rest; a node has its children's sum."""
    root: dict[str, Any] = {}
    for owner in difference.owners:
        words = (
            owner.path.strip("/").split("/") if owner.path.startswith("/") else ["file system", owner.path]
        )
        place = root
        # What a folder's own list of names causes stands in it as ".".
        for word in [*words, "."] if owner.kind is Kind.DIRECTORY else words:
            place = place.setdefault(word, {})
        place["\0"] = owner
    return _node(difference.new, root)


def _node(name: str, place: Mapping[str, Any]) -> dict[str, Any]:
    if "\0" in place:
        owner: Owner = place["\0"]
        return {"name": name, "bytes": owner.bytes, "change": owner.change.value, "children": []}
    children = [_node(word, below) for word, below in place.items()]
    children.sort(key=lambda child: (-child["bytes"], child["name"]))
    return {"name": name, "bytes": sum(child["bytes"] for child in children), "children": children}


def manifest(path: Path) -> Header:
    """The header of a .zck, or of a file that is nothing but one.

    Raises:
        ConfigError: "file-missing".
        UpdateError: "header-...".
    """
    with Image(path) as image:
        return zchunk.parse_manifest(image.take(0, min(image.size, zchunk.MAX_HEADER), "header"))


# Chunks


@dataclass(frozen=True, slots=True)
class _Chunk:
    digest: bytes
    start: int
    stop: int
    coded: int  # bytes in the .zck; 0: not known yet


def _manifest(image: Image) -> Header | None:
    """The header, if the file is a .zck or a header alone."""
    head = image.take(0, min(image.size, len(zchunk.MAGIC)), "magic")
    return manifest(image.path) if head in (zchunk.MAGIC, zchunk.MAGIC_DETACHED) else None


def _digests(image: Image, manifest: Header | None) -> Set[bytes]:
    if manifest is None:
        return {chunk.digest for chunk in _cut(image)}
    return {manifest.digest(number) for number in range(len(manifest))}


def _missing(image: Image, header: Header | None, known: Set[bytes]) -> Iterator[_Chunk]:
    """What is fetched, as `ota.sync.plan` has it: neither in the old image, nor zeros, nor twice."""
    rows = list(_cut(image)) if header is None else list(_rows(image, header))
    seen = set(known)
    wanted = []
    for row in rows:
        if row.digest not in seen and any(image.take(row.start, row.stop - row.start, "a chunk")):
            wanted.append(row)
        seen.add(row.digest)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for row, coded in zip(
            wanted, pool.map(lambda row: row.coded or _length(image, row), wanted), strict=True
        ):
            yield replace(row, coded=coded)


def _length(image: Image, chunk: _Chunk) -> int:
    data = image.take(chunk.start, chunk.stop - chunk.start, "a chunk")
    return len(zstandard.ZstdCompressor(level=zck.LEVEL).compress(data))


def _rows(image: Image, header: Header) -> Iterator[_Chunk]:
    if header.image_size != image.size:
        raise ConfigError(
            "config-value",
            f"the .zck is not of {image.path.name}",
            expected=f"{image.size} bytes",
            found=header.image_size,
        )
    for chunk in header:
        yield _Chunk(chunk.digest, chunk.offset, chunk.offset + chunk.length, chunk.stop - chunk.start)


def _cut(image: Image) -> Iterator[_Chunk]:
    """As `zck` cuts it; how long they are in the .zck is not known."""
    chunker, start = Chunker(), 0
    lengths = (
        length
        for at in range(0, image.size, _READ)
        for length in chunker.feed(image.take(at, min(_READ, image.size - at), "the image"))
    )
    for length in chain(lengths, iter(chunker.finish, 0)):
        digest = hashlib.sha256(image.take(start, length, "a chunk")).digest()
        yield _Chunk(digest, start, start + length, 0)
        start += length


# Owners


def _opened(stack: ExitStack, path: Path) -> tuple[FileSystem | None, str | None]:
    """The file system; or why it is not known."""
    try:
        return stack.enter_context(filesystems.opened(path)), None
    except ConfigError as error:
        if error.code != "filesystem-unknown":
            raise
        return None, str(error)


def _ranges(image: Image) -> Layout:
    """What stands for a layout where the file system is not known."""
    bounds = ((start, min(start + RANGE, image.size)) for start in range(0, image.size, RANGE))
    extents = tuple(Extent(start, stop, f"bytes {start} to {stop}", Kind.RANGE) for start, stop in bounds)
    return Layout("", image.size, extents)


def _blocks(image: Image, layout: Layout) -> Set[bytes]:
    """Digests of all blocks of all extents."""
    return {
        hashlib.sha256(image.take(start, stop - start, "a block")).digest()
        for extent in layout.extents
        if extent.kind is not Kind.FREE
        for start, stop in _cut_extent(extent, extent.start, extent.stop)
    }


def _cut_extent(extent: Extent, low: int, high: int) -> Iterator[tuple[int, int]]:
    """The blocks of an extent that reach into [low, high). They are counted from where the extent starts."""
    first = extent.start + (low - extent.start) // BLOCK * BLOCK
    return ((at, min(at + BLOCK, extent.stop)) for at in range(first, high, BLOCK))


def _attribute(
    image: Image, layout: Layout, missing: list[_Chunk], known: Set[bytes], changes: Changes | None
) -> list[Owner]:
    starts = [extent.start for extent in layout.extents]

    def change(extent: Extent) -> Change:
        if extent.kind in (Kind.FILE, Kind.DIRECTORY) and changes:
            return changes.of(extent.owner)
        return Change.CHANGED if extent.kind is Kind.RANGE else Change.METADATA

    def rank(extent: Extent, data: bytes) -> int:
        """Only those of the lowest rank in a chunk pay."""
        if not any(data):
            return 3
        if hashlib.sha256(data).digest() in known:
            return 2
        # Tails of squashfs share compressed blocks, where one that changed makes all others new.
        return int(change(extent) is Change.MOVED)

    paid: Counter[tuple[str, Kind, Change]] = Counter()
    for chunk in missing:
        weights: dict[int, Counter[tuple[str, Kind, Change]]] = {}
        first, behind = bisect_right(starts, chunk.start) - 1, bisect_left(starts, chunk.stop)
        for extent in layout.extents[first:behind]:
            low, high = max(extent.start, chunk.start), min(extent.stop, chunk.stop)
            for start, stop in _cut_extent(extent, low, high):
                place = rank(extent, image.take(start, stop - start, "a block"))
                weight = min(stop, high) - max(start, low)
                weights.setdefault(place, Counter())[extent.owner, extent.kind, change(extent)] += weight
        paid.update(divide(chunk.coded, weights[min(weights)]))
    owners = [Owner(*who, size) for who, size in paid.items() if size]
    return sorted(owners, key=lambda owner: (-owner.bytes, owner.path))


def divide(total: int, weights: Mapping[_Who, int]) -> dict[_Who, int]:
    """`total` in whole parts that are as the weights: what is left goes to the largest remainders."""
    whole = sum(weights.values())
    parts = {who: total * weight // whole for who, weight in weights.items()}
    left = total - sum(parts.values())
    for who in sorted(weights, key=lambda who: (-(total * weights[who] % whole), str(who)))[:left]:
        parts[who] += 1
    return parts
