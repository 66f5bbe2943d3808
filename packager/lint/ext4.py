"""ext4: what mke2fs makes up where it is not told, and what a file system that nobody writes does not need.

A UUID or a hash seed of its own in each build changes the superblock, and a UUID all checksums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from packager.lint import ext4_maker, ext4_order
from packager.lint.draft import Draft
from packager.lint.ext4_draft import JOURNAL, Ext4Draft
from packager.lint.ext4_times import times
from packager.lint.findings import Finding
from packager.lint.pair import Check, Found, Pair, Undo
from packager.lint.side import Side


def uuid(pair: Pair) -> Iterator[Found]:
    """The UUID, and the seed of checksums that is made of it."""
    if pair.old is None:
        return
    now, was = (UUID(bytes=Ext4Draft(side.bytes).field("uuid")) for side in (pair.new, pair.old))
    if now != was:
        what = f"the UUID is {now}, it was {was}; all checksums depend on it"
        yield Found(Finding("ext4-uuid", what, f"mke2fs -U {was} ..."), _copy(pair, "uuid", "checksum seed"))


def hash_seed(pair: Pair) -> Iterator[Found]:
    """The seed of the hashes that the names of indexed folders are sorted by."""
    if pair.old is None:
        return
    now, was = (UUID(bytes=Ext4Draft(side.bytes).field("hash seed")) for side in (pair.new, pair.old))
    if now == was:
        return
    folders = tuple(_sorted_otherwise(pair))
    what = f"the hash seed is {now}, it was {was}"
    what += f": {len(folders)} folders with the same names are sorted otherwise" if folders else ""
    finding = Finding("ext4-hash-seed", what, f"mke2fs -E hash_seed={was} ...", paths=folders)
    yield Found(finding, _copy(pair, "hash seed", folders=folders))


def journal(pair: Pair) -> Iterator[Found]:
    """A journal, which what is only read does not use."""
    blocks = _journal(Ext4Draft(pair.new.bytes))
    if not blocks:
        return
    size = len(blocks) * Ext4Draft(pair.new.bytes).block
    what = f"a journal of {size:,} bytes; a file system that is only read does not use it"
    finding = Finding("ext4-journal", what, "mke2fs -O ^has_journal ... (or tune2fs -O ^has_journal IMAGE)")
    if pair.old is None:
        yield Found(finding)
    elif _journal(Ext4Draft(pair.old.bytes)) == blocks:
        yield Found(finding, _copy_blocks(pair, blocks))
    elif remake := pair.remake:
        told = ext4_maker.without_journal(remake.options[0])
        yield Found(finding, price=lambda base, mended: remake.now - remake.update(told))
    else:
        yield Found(finding)


CHECKS: Final[tuple[Check, ...]] = (uuid, hash_seed, times, journal, ext4_order.order)
"""All of ext4."""


def _journal(draft: Ext4Draft) -> list[int]:
    has_one = draft.number("compatible") & JOURNAL and draft.number("journal inode")
    return draft.blocks(draft.number("journal inode")) if has_one else []


def _sorted_otherwise(pair: Pair) -> Iterator[str]:
    """Indexed folders with the names and inodes that the base has, in as many blocks."""
    assert pair.old is not None
    new, old = Ext4Draft(pair.new.bytes), Ext4Draft(pair.old.bytes)
    for path, names in pair.new.names.items():
        if path not in pair.old.names or not new.is_indexed(pair.new.files[path].inode):
            continue
        inside = [path.rstrip("/") + "/" + name for name in names]
        same = pair.old.names[path] == names and all(
            pair.new.files[child].inode == pair.old.files[child].inode for child in inside
        )
        if same and len(_blocks(new, pair.new, path)) == len(_blocks(old, pair.old, path)):
            yield path


def _blocks(draft: Ext4Draft, side: Side, path: str) -> list[int]:
    return draft.blocks(side.files[path].inode)


def _copy(pair: Pair, *fields: str, folders: Sequence[str] = ()) -> Undo:
    """Give the superblock the base's fields, and folders the base's blocks."""
    side = pair.old
    assert side is not None
    old = Ext4Draft(side.bytes)

    def undo(image: Draft) -> None:
        draft = Ext4Draft(image)
        for name in fields:
            draft.set_field(name, old.field(name))
        for path in folders:
            pairs = zip(_blocks(old, side, path), _blocks(draft, pair.new, path), strict=True)
            for source, target in pairs:
                draft.put_block(target, old.take_block(source))
        draft.seal()

    return undo


def _copy_blocks(pair: Pair, blocks: list[int]) -> Undo:
    """Give blocks the content that they have in the base."""
    assert pair.old is not None
    old = Ext4Draft(pair.old.bytes)

    def undo(image: Draft) -> None:
        draft = Ext4Draft(image)
        for block in blocks:
            draft.put_block(block, old.take_block(block))
        draft.seal()

    return undo
