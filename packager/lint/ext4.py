"""ext4: what mke2fs makes up where it is not told, and what a file system that nobody writes does not need.

A UUID or a hash seed of its own in each build changes the superblock, and a UUID all checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from packager.lint import ext4_order
from packager.lint.cost import Draft
from packager.lint.ext4_draft import JOURNAL, Ext4Draft
from packager.lint.ext4_times import times
from packager.lint.findings import Finding
from packager.lint.pair import Check, Found, Pair, Undo


def uuid(pair: Pair) -> Iterator[Found]:
    """The UUID, and the seed of checksums that is made of it."""
    if pair.old is None:
        return
    now, was = (UUID(bytes=Ext4Draft(side.bytes).field("uuid")) for side in (pair.new, pair.old))
    if now != was:
        what = f"the UUID is {now}, it was {was}; all checksums depend on it"
        yield Found(Finding("ext4-uuid", what, f"mke2fs -U {was} ..."), _copy(pair, "uuid", "checksum seed"))


def hash_seed(pair: Pair) -> Iterator[Found]:
    """The seed of the hashes that indexed folders are sorted by."""
    if pair.old is None:
        return
    now, was = (UUID(bytes=Ext4Draft(side.bytes).field("hash seed")) for side in (pair.new, pair.old))
    if now != was:
        what = f"the hash seed is {now}, it was {was}"
        mend = f"mke2fs -E hash_seed={was} ..."
        yield Found(Finding("ext4-hash-seed", what, mend), _copy(pair, "hash seed"))


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
    else:
        yield Found(finding, price=ext4_order.price(pair))


CHECKS: Final[tuple[Check, ...]] = (uuid, hash_seed, times, journal, ext4_order.order)
"""All of ext4."""


def _journal(draft: Ext4Draft) -> list[int]:
    has_one = draft.number("compatible") & JOURNAL and draft.number("journal inode")
    return draft.blocks(draft.number("journal inode")) if has_one else []


def _copy(pair: Pair, *fields: str) -> Undo:
    """Give the superblock the base's fields."""
    assert pair.old is not None
    old = Ext4Draft(pair.old.bytes)

    def undo(image: Draft) -> None:
        draft = Ext4Draft(image)
        for name in fields:
            draft.set_field(name, old.field(name))
        draft.seal()

    return undo


def _copy_blocks(pair: Pair, blocks: list[int]) -> Undo:
    """Give blocks the content that they have in the base."""
    assert pair.old is not None
    old = pair.old.bytes
    size = Ext4Draft(old).block

    def undo(image: Draft) -> None:
        for block in blocks:
            image[block * size : (block + 1) * size] = old[block * size : (block + 1) * size]
        Ext4Draft(image).seal()

    return undo
