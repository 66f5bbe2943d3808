"""How large a board's slots are, where its file says so: `[disk]` with a partition `slot-NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ota import board as boards
from ota.board import Board
from ota.errors import ConfigError
from ota.formats.selection import Section
from packager.entries import Item, Place


def sizes(name: str, folder: Path) -> dict[str, int]:
    """Bytes of each slot of a board that `ota.board.load` takes, as far as its file tells."""
    disk = boards.read(name, folder).table("disk")
    partitions = [(table.text("name"), table.integer("size_mib", 0)) for table in disk.tables("partitions")]
    slots = {name.removeprefix("slot-"): mib for name, mib in partitions if name.startswith("slot-")}
    return {slot: mib << 20 for slot, mib in slots.items() if mib}


def check(board: Board, known: dict[str, int], items: Sequence[Item]) -> None:
    """Refuse an image that is larger than a slot it goes to.

    Raises:
        ConfigError: release-content.
    """
    for slot in board.slots:
        for item in items:
            if item.section is Section.IMAGES and item.image and item.row.is_for_slots:
                _check(item, board.name, slot.name, slot.device, known.get(slot.name))


def _check(item: Item, board: str, slot: str, device: str, capacity: int | None) -> None:
    place: Place = (board, slot)
    entry = item.entry(place)
    assert item.image
    size = (entry.offset or 0) + item.image.file.stat().st_size
    if capacity is not None and entry.device == device and size > capacity:
        raise ConfigError(
            "release-content",
            f"{item.image.file}, for {item.name!r}, does not fit slot {slot!r} of board {board!r}",
            expected=f"at most {capacity} bytes",
            found=size,
            hint="shrink the image, or correct [disk] of the board file",
        )
