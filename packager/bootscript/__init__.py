"""The boot loader's part of the state table, as a script that it can run.

`logic` turns the table's rows into branches, `loader` says how a board loads a kernel, `uboot` and `grub`
write both down in the language of a boot loader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota import board as boards
from ota.boot.table import TABLE, Row
from packager.bootscript import grub, loader, logic, uboot
from packager.bootscript.loader import Loader
from packager.bootscript.logic import Logic

_WRITERS: Final[Mapping[str, Callable[[Logic, Loader], str]]] = {"uboot": uboot.write, "grub": grub.write}


@dataclass(frozen=True, slots=True)
class Script:
    """What a boot loader is given: for U-Boot variables of its environment, for GRUB a grub.cfg."""

    board: str
    kind: str
    text: str

    def lines(self) -> list[str]:
        return self.text.splitlines()

    def to_json(self) -> dict[str, object]:
        return {"board": self.board, "kind": self.kind, "script": self.text}


def write(name: str, folder: Path, table: tuple[Row, ...] = TABLE) -> Script:
    """The script of a board.

    Args:
        name: as `ota.board.load` takes it.
        folder: where a relative path starts.

    Raises:
        ConfigError: no such board, or its file does not say how a kernel is loaded.
    """
    board = boards.load(name, folder)
    how = loader.parse(boards.read(name, folder), board)
    return Script(board.name, how.kind, _WRITERS[how.kind](logic.read(board, table), how))
