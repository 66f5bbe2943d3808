"""What devices may find in a sw-description: every selection, for whatever board."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ota.errors import UpdateError
from ota.formats import selection
from ota.formats.description import Tree
from ota.formats.selection import Selection
from packager.contents import Choice

MAX_CHOICES: Final = 1000  # boards times selections; each is parsed of its own


def choices(tree: Tree) -> Iterator[Choice]:
    """Every selection, and what boards install under it that have words of their own."""
    names: list[Selection | None] = [Selection.parse(text) for text in selection.selections(tree)]
    software = tree.get(selection.ROOT)
    groups = software.items() if isinstance(software, dict) else ()
    boards = [name for name, group in groups if isinstance(group, dict)]
    if len(boards) * len(names) > MAX_CHOICES:
        raise UpdateError(
            "description-content",
            "sw-description: too many boards and selections",
            expected=f"at most {MAX_CHOICES} of both together",
            found=len(boards) * len(names),
        )
    for name in names or [None]:
        refusal = None
        common = None
        try:
            common = selection.select(tree, "", name, required=True)
            yield Choice("", str(name or ""), common)
        except UpdateError as error:
            refusal = error
        of_boards = [choice for choice in _of_boards(tree, boards, name) if choice.description != common]
        if refusal and not of_boards:
            raise refusal
        yield from of_boards


def _of_boards(tree: Tree, boards: list[str], name: Selection | None) -> Iterator[Choice]:
    for board in boards:
        try:
            yield Choice(board, str(name or ""), selection.select(tree, board, name, required=True))
        except UpdateError as error:
            if error.code not in ("selection-missing", "description-content"):
                raise
