"""erofs: a UUID and a time of its own in each build, and clusters that are compressed as wholes.

superblock at 1024   checksum 0x04 | compatible 0x08, 1: has one | bits of a block 0x0C | slots 0x0D
                     time 0x18 12 | block of inodes 0x28 | UUID 0x30 16 | incompatible 0x50
inode, long form     1 in the first bit | mtime 0x20 12    (Linux, fs/erofs/erofs_fs.h)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

from packager.lint.checksums import ALL_ONES, crc32c
from packager.lint.draft import Draft
from packager.lint.findings import Finding
from packager.lint.granularity import Step, worthwhile
from packager.lint.pair import Check, Found, Pair, unchanged
from packager.lint.remake import Maker, Options
from packager.lint.side import Side

PROGRAM: Final = "mkfs.erofs"

_SUPERBLOCK: Final = 1024
_UUID: Final = slice(_SUPERBLOCK + 0x30, _SUPERBLOCK + 0x40)
_TIME: Final = slice(_SUPERBLOCK + 0x18, _SUPERBLOCK + 0x24)
_CHECKSUM: Final = slice(_SUPERBLOCK + 0x04, _SUPERBLOCK + 0x08)
_CONFIGURED: Final = 0x2  # incompatible: settings of each algorithm follow the superblock
_COMPRESSED: Final = (1, 3)  # layouts of inodes
_SMALL: Final = 4096  # bytes


def options(side: Side) -> Options:
    """What mkfs.erofs was told, as far as the image says it; of compressors it is always the same one."""
    cluster = _cluster(side)
    return ("-zlz4hc,9", f"-C{cluster}") if cluster else ()


def command(tree: Path, image: Path, options: Options, priorities: Path) -> list[str | Path]:
    """How such an image is made; the order is mkfs.erofs's own."""
    fixed = ["--quiet", "-T0", "-U00000000-0000-0000-0000-000000000000", "--all-root", "-x-1"]
    return [PROGRAM, *fixed, *options, image, tree]


def uuid(pair: Pair) -> Iterator[Found]:
    """The UUID."""
    if pair.old is None:
        return
    now, was = UUID(bytes=pair.new.bytes[_UUID]), UUID(bytes=pair.old.bytes[_UUID])
    if now != was:

        def undo(image: Draft) -> None:
            image[_UUID] = was.bytes
            _seal(image)

        yield Found(Finding("erofs-uuid", f"the UUID is {now}, it was {was}", f"{PROGRAM} -U{was} ..."), undo)


def times(pair: Pair) -> Iterator[Found]:
    """When the image was made, and times of what is unchanged."""
    if pair.old is None:
        return
    old, source = pair.old, pair.old.bytes
    twins = {path: (_inode(pair.new, path), _inode(old, path)) for path in _timed(pair, old)}
    differ = [path for path, (at, was) in twins.items() if pair.new.bytes[_mtime(at)] != source[_mtime(was)]]
    if pair.new.bytes[_TIME] == source[_TIME] and not differ:
        return

    def undo(image: Draft) -> None:
        image[_TIME] = source[_TIME]
        for path in differ:
            at, was = twins[path]
            image[_mtime(at)] = source[_mtime(was)]
        _seal(image)

    what = f"other times in the superblock or in {len(differ)} inodes of unchanged files"
    mend = f"{PROGRAM} -T SOURCE_DATE_EPOCH ..."
    yield Found(Finding("erofs-times", what, mend, paths=tuple(differ)), undo)


def granularity(pair: Pair) -> Iterator[Found]:
    """Large clusters, ends of files beside inodes, compression: where they make most of this update."""
    if pair.remake:
        told = pair.remake.options[1]
        yield from worthwhile(list(_steps(told)), told, pair.remake)


MAKER: Final = Maker(PROGRAM, options, command)
"""Makes an erofs again."""

CHECKS: Final[tuple[Check, ...]] = (uuid, times, granularity)
"""All of erofs."""


def _steps(told: Options) -> Iterator[Step]:
    if told and told[1] != f"-C{_SMALL}":
        what = f"up to {told[1][2:]} bytes are compressed as wholes: small changes become large"
        finding = Finding("erofs-cluster-size", what, f"{PROGRAM} ... -C{_SMALL}")
        yield Step(finding, lambda told: (told[0], f"-C{_SMALL}", *told[2:]))
    what = "ends of files stand beside inodes, unaligned: what grows moves those behind it"
    yield Step(
        Finding("erofs-inline", what, f"{PROGRAM} ... -Enoinline_data"),
        lambda told: (*told, "-Enoinline_data"),
    )
    if told:
        what = "files are compressed: small changes become large"
        finding = Finding("erofs-compression", what, f"{PROGRAM} without -z; updates are compressed")
        yield Step(finding, lambda told: told[2:])


def _cluster(side: Side) -> int:
    """Bytes of the largest clusters; 0 where nothing is compressed."""
    if not any(_word(side.bytes, _inode(side, path), 2) >> 1 & 7 in _COMPRESSED for path in side.files):
        return 0
    if not _word(side.bytes, _SUPERBLOCK + 0x50, 4) & _CONFIGURED:
        return 1 << side.bytes[_SUPERBLOCK + 0x0C]
    # Behind the superblock, for lz4: length 2 | farthest reference 2 | largest cluster, in blocks, 2.
    settings = _SUPERBLOCK + 128 + 16 * side.bytes[_SUPERBLOCK + 0x0D]
    return max(_word(side.bytes, settings + 4, 2), 1) << side.bytes[_SUPERBLOCK + 0x0C]


def _inode(side: Side, path: str) -> int:
    """Where it stands."""
    table = _word(side.bytes, _SUPERBLOCK + 0x28, 4) << side.bytes[_SUPERBLOCK + 0x0C]
    return table + 32 * side.files[path].inode


def _timed(pair: Pair, old: Side) -> Iterator[str]:
    """What is unchanged and has a time of its own, which the base's clamp would not leave as it is."""
    made, limit = (_word(side.bytes, _SUPERBLOCK + 0x18, 8) for side in (pair.new, old))
    for path, file in pair.new.files.items():
        is_of_source = file.mtime <= limit and (file.mtime < made or made == limit)
        has_time = path in old.files and all(side.bytes[_inode(side, path)] & 1 for side in (pair.new, old))
        if has_time and not is_of_source and unchanged(pair, path):
            yield path


def _mtime(inode: int) -> slice:
    return slice(inode + 0x20, inode + 0x2C)


def _seal(image: Draft) -> None:
    if _word(image, _SUPERBLOCK + 0x08, 4) & 1:
        image[_CHECKSUM] = bytes(4)
        block = 1 << image[_SUPERBLOCK + 0x0C]
        checksum = crc32c(ALL_ONES, image[_SUPERBLOCK : max(block, _SUPERBLOCK + 128)])
        image[_CHECKSUM] = checksum.to_bytes(4, "little")


def _word(image: Draft, at: int, size: int) -> int:
    return int.from_bytes(image[at : at + size], "little")
