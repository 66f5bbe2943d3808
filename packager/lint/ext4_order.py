"""ext4: the same files in another order, priced by making both images again, or else by a model.

The model is the base's image with the new files in it: files of as many blocks keep the base's places, all
others go where the base is free. It is what the update were if nothing had moved; a real build would also
move what stands behind a file that grew, so that the model misses some of the inode tables.
"""

from __future__ import annotations

from collections.abc import Iterator

from packager.filesystems import Kind
from packager.lint.cost import Base, Draft, draft
from packager.lint.ext4_draft import Ext4Draft
from packager.lint.findings import Finding
from packager.lint.order import kept, moved
from packager.lint.pair import Found, Pair, Price
from packager.lint.side import Side


def order(pair: Pair) -> Iterator[Found]:
    """The order of files in the image."""
    if pair.old is None:
        return
    if files := moved(pair.new, pair.old):
        mend = "tar --sort=name ... and mke2fs -d TAR"
        finding = Finding("ext4-file-order", f"{files} stand in another order", mend)
        remake, wanted = pair.remake, kept(pair.new, pair.old)
        if remake:
            yield Found(finding, price=lambda base, mended: remake.now - remake.update(order=wanted))
        else:
            yield Found(finding, price=of_model(pair))


def of_model(pair: Pair) -> Price:
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
        for block, place in zip(blocks, places, strict=True):
            target.put_block(place, source.take_block(block))
    target.seal()
    return True


def _free(side: Side, block: int) -> Iterator[int]:
    """The blocks that nobody has."""
    for extent in side.layout.extents:
        if extent.kind is Kind.FREE:
            yield from range(-(-extent.start // block), extent.stop // block)
