"""ext4: the same files in another order, priced by a model.

The model is the base's image with the new files in it: files of as many blocks keep the base's places, all
others go where the base is free. It is what the update were if nothing had moved; a real build would also
move what stands behind a file that grew, so that the model misses some of the inode tables.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence

from packager.filesystems import Kind
from packager.lint.cost import Base, Draft, draft
from packager.lint.ext4_draft import Ext4Draft
from packager.lint.findings import Finding
from packager.lint.pair import Found, Pair, Price, Side

_FEW = 0.02  # of the files may have moved: what has grown leaves room that others take


def order(pair: Pair) -> Iterator[Found]:
    """The order of files in the image."""
    if pair.old is None:
        return
    old = pair.old.places
    paths = [path for path, _ in sorted(pair.new.places.items(), key=lambda row: row[1][0]) if path in old]
    moved = len(paths) - _longest_ascent([old[path][0][0] for path in paths])
    if moved > _FEW * len(paths):
        what = f"{moved} of {len(paths)} files that both have stand in another order"
        mend = "tar --sort=name ... and mke2fs -d TAR; of a folder the host decides the order"
        yield Found(Finding("ext4-file-order", what, mend), price=price(pair))


def price(pair: Pair) -> Price:
    """What the update is larger than one in which all files keep their places."""

    def cost(base: Base, mended: int) -> int | None:
        assert pair.old is not None
        with draft(pair.old.path) as model:
            if not _transplant(pair.new, pair.old, model):
                return None
            return mended - base.missing(model)

    return cost


def _transplant(new: Side, old: Side, model: Draft) -> bool:
    """Put the new files into the base; False where it has no room for them."""
    source, target = Ext4Draft(new.bytes), Ext4Draft(model)
    free = _free(old, target.block)
    for path, file in new.files.items():
        if not file.is_file or path not in new.places:
            continue
        blocks = source.blocks(file.inode)
        twin = old.files.get(path)
        places = target.blocks(twin.inode) if twin and twin.is_file else []
        if len(places) != len(blocks):
            places = [block for _, block in zip(blocks, free, strict=False)]
            if len(places) != len(blocks):
                return False
        elif twin and twin.size != file.size:
            target.set_size(twin.inode, file.size)
        size = target.block
        for block, place in zip(blocks, places, strict=True):
            model[place * size : (place + 1) * size] = new.bytes[block * size : (block + 1) * size]
    target.seal()
    return True


def _free(side: Side, block: int) -> Iterator[int]:
    """The blocks that nobody has."""
    for extent in side.layout.extents:
        if extent.kind is Kind.FREE:
            yield from range(-(-extent.start // block), extent.stop // block)


def _longest_ascent(numbers: Sequence[int]) -> int:
    """How many of them can stay so that the rest has to move between them."""
    ends: list[int] = []
    for number in numbers:
        at = bisect(ends, number)
        ends[at : at + 1] = [number]
    return len(ends)
