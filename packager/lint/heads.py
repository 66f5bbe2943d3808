"""Files whose first bytes are to be others: replaced in place where the image holds them as they are."""

from __future__ import annotations

from collections.abc import Mapping

from packager.lint.draft import Draft
from packager.lint.ext4_draft import Ext4Draft
from packager.lint.findings import Finding
from packager.lint.pair import Found, Pair, Undo
from packager.lint.side import Head, Side


def found(pair: Pair, finding: Finding, heads: Mapping[str, Head]) -> Found:
    """The finding, undone by these heads."""
    if pair.old is None:
        return Found(finding)
    if pair.new.kind == "ext4":
        return Found(finding, _undo_in_ext4(pair.new, heads))
    if remake := pair.remake:
        return Found(finding, price=lambda base, mended: remake.now - remake.update(heads=heads))
    return Found(finding)


def _undo_in_ext4(side: Side, heads: Mapping[str, Head]) -> Undo:
    def undo(image: Draft) -> None:
        draft = Ext4Draft(image)
        for path, head in heads.items():
            file = side.files[path]
            blocks = draft.blocks(file.inode)
            content = head.data + side.content(path)[head.length :]
            room = len(blocks) * draft.block
            if not blocks or len(content) > room:  # inline, or one block more than there is: as it was
                continue
            if len(content) != file.size:
                draft.set_size(file.inode, len(content))
            content = content.ljust(room, b"\0")
            for at, block in enumerate(blocks):
                draft.put_block(block, content[at * draft.block : (at + 1) * draft.block])
        draft.seal()

    return undo
