"""ext4's times: of the superblock and of inodes, which are to be the same in all builds of one source.

mke2fs from 1.47.1 on gives all that it makes SOURCE_DATE_EPOCH, and files no later times. Earlier ones, told
the time by E2FSPROGS_FAKE_TIME, still give files the times of the folder that they come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from packager.lint.draft import Draft
from packager.lint.ext4_draft import Ext4Draft
from packager.lint.findings import Finding
from packager.lint.pair import Found, Pair, Undo, unchanged
from packager.lint.side import Side

_OF_SUPERBLOCK: Final = (
    "creation time", "write time", "check time", "mount time", "first error time", "last error time",
    "high bits of times",
)  # fmt: skip

_OF_INODE: Final = {
    "ctime": (0x0C, 0x84),
    "atime": (0x08, 0x8C),
    "mtime": (0x10, 0x88),
    "crtime": (0x90, 0x94),
}
"""Where the seconds stand in an inode, and where nanoseconds and two more bits of seconds."""

_FIRST: Final = 11  # inodes before it are parts of the file system itself
_MEND: Final = "SOURCE_DATE_EPOCH=... mke2fs ... (1.47.1 or later), the same in all builds"


def times(pair: Pair) -> Iterator[Found]:
    """Times that another build would not have."""
    late = _late(pair.new)
    if late:
        what = f"{len(late)} inodes changed after the file system was made ({_date(_made(pair.new))})"
        finding = Finding(
            "ext4-old-mke2fs",
            f"{what}: mke2fs took the times of the folder, whatever the time it was told",
            "SOURCE_DATE_EPOCH=... mke2fs ..., version 1.47.1 or later",
            paths=late,
        )
        yield Found(finding, _undo_inodes(pair) if pair.old else None)
    yield from _differing(pair, not late) if pair.old else _not_clamped(pair.new, not late)


def _differing(pair: Pair, look_at_inodes: bool) -> Iterator[Found]:
    """Other times than the base's."""
    assert pair.old is not None
    superblock = _fields(pair.new) != _fields(pair.old)
    inodes = tuple(_paths_of_other_times(pair)) if look_at_inodes else ()
    if superblock or inodes:
        where = ["the superblock"] * superblock + [f"{len(inodes)} inodes"] * bool(inodes)
        made, before = _date(_made(pair.new)), _date(_made(pair.old))
        what = f"made {made}, the base {before}: other times in {' and '.join(where)}"
        yield Found(Finding("ext4-times", what, _MEND, paths=inodes), _undo(pair, bool(inodes)))


def _not_clamped(side: Side, look_at_inodes: bool) -> Iterator[Found]:
    """Times that show in the image alone: clamped, all inodes have the one of the file system, or none."""
    made, mounted = _made(side), _mounted(side)
    other = tuple(path for path, ctime in _ctimes(side) if 0 < ctime != made) if look_at_inodes else ()
    if other:
        why = f"it was mounted {_date(mounted)} and written" if mounted else "they are not clamped"
        what = f"{len(other)} inodes have other times than the file system itself ({_date(made)}): {why}"
        yield Found(Finding("ext4-times", what, _MEND, paths=other))


def _late(side: Side) -> tuple[str, ...]:
    """What changed after the file system was made, though nobody mounted it."""
    made = _made(side)
    return tuple(path for path, ctime in _ctimes(side) if ctime > made > 0) if not _mounted(side) else ()


def _mounted(side: Side) -> int:
    return Ext4Draft(side.bytes).number("mount time")


def _made(side: Side) -> int:
    return Ext4Draft(side.bytes).number("creation time")


def _fields(side: Side) -> Mapping[str, bytes]:
    draft = Ext4Draft(side.bytes)
    return {name: draft.field(name) for name in _OF_SUPERBLOCK}


def _ctimes(side: Side) -> Iterator[tuple[str, int]]:
    draft = Ext4Draft(side.bytes)
    for path, file in side.files.items():
        yield path, _get(draft, draft.inode_at(file.inode), "ctime")


def _paths_of_other_times(pair: Pair) -> Iterator[str]:
    """Of what is else unchanged."""
    assert pair.old is not None
    new, old = Ext4Draft(pair.new.bytes), Ext4Draft(pair.old.bytes)
    made, limit = _made(pair.new), _made(pair.old)
    for path, file in pair.new.files.items():
        if path not in pair.old.files:
            continue
        at, before = new.inode_at(file.inode), old.inode_at(pair.old.files[path].inode)
        differ = [name for name in _OF_INODE if _get(new, at, name) != _get(old, before, name)]
        is_ours = any(not _is_of_source(name, _get(new, at, name), made, limit) for name in differ)
        if is_ours and unchanged(pair, path):
            yield path


def _is_of_source(name: str, seconds: int, made: int, limit: int) -> bool:
    """Whether the base's clamp would leave a time as it is; one that this image's own made is not known."""
    return name == "mtime" and seconds <= limit and (seconds < made or made == limit)


def _undo(pair: Pair, inodes: bool) -> Undo:
    assert pair.old is not None
    fields = _fields(pair.old)

    def undo(image: Draft) -> None:
        draft = Ext4Draft(image)
        for name, value in fields.items():
            draft.set_field(name, value)
        draft.seal()
        if inodes:
            _undo_inodes(pair)(image)

    return undo


def _undo_inodes(pair: Pair) -> Undo:
    """What is unchanged gets the base's times, and all else none later than when the base was made."""
    assert pair.old is not None
    made, limit = _made(pair.new), _made(pair.old)
    old = Ext4Draft(pair.old.bytes)
    twins = {number: number for number in range(1, _FIRST)}
    for path, file in pair.new.files.items():
        if unchanged(pair, path):
            twins[file.inode] = pair.old.files[path].inode

    def undo(image: Draft) -> None:
        draft = Ext4Draft(image)
        for number, at in draft.inodes():
            for name in _OF_INODE:
                if _is_of_source(name, _get(draft, at, name), made, limit):
                    continue
                if number in twins:
                    _copy(old, old.inode_at(twins[number]), draft, at, name)
                elif _get(draft, at, name) > limit:
                    _put(draft, at, name, limit)
        draft.seal()

    return undo


def _places(draft: Ext4Draft, at: int, name: str) -> list[int]:
    """The words of a time that the inode has room for."""
    return [at + word for word in _OF_INODE[name] if word + 4 <= draft.inode_room(at)]


def _get(draft: Ext4Draft, at: int, name: str) -> int:
    """Seconds since 1970; 0 where the inode has no such time."""
    words = [int.from_bytes(draft.image[place : place + 4], "little") for place in _places(draft, at, name)]
    return sum((word & 3) << 32 if index else word for index, word in enumerate(words))


def _put(draft: Ext4Draft, at: int, name: str, seconds: int) -> None:
    for place, word in zip(_places(draft, at, name), (seconds & 0xFFFFFFFF, seconds >> 32), strict=False):
        draft.image[place : place + 4] = word.to_bytes(4, "little")


def _copy(old: Ext4Draft, start: int, draft: Ext4Draft, at: int, name: str) -> None:
    for source, place in zip(_places(old, start, name), _places(draft, at, name), strict=False):
        draft.image[place : place + 4] = old.image[source : source + 4]


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
