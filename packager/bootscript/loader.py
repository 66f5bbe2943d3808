"""[loader] of a board file: how this board's boot loader loads a kernel from a slot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ota.board import Board
from ota.errors import ConfigError
from ota.settings import Table

KINDS: Final = ("uboot", "grub")
_WORD: Final = re.compile(r"[A-Za-z0-9 _./:,=@%+${}-]*")  # means the same in every script


@dataclass(frozen=True, slots=True)
class Loader:
    """How a kernel is loaded.

    Attributes:
        kind: one of KINDS.
        disk: as the boot loader calls it: "mmc 0", "hd0".
        partitions: the slot variable's value -> number of the partition that holds kernel and root.
        roots: the same -> the kernel's name of that partition.
        kernel: path in the slot; so are `initramfs` and `device_tree`, where there are any.
        arguments: of the kernel, besides root=.
        start: U-Boot's command for this kind of kernel.
        prepare: run by U-Boot once, before the environment is read again.
    """

    kind: str
    disk: str
    partitions: Mapping[str, int]
    roots: Mapping[str, str]
    kernel: str
    initramfs: str | None
    device_tree: str | None
    arguments: str
    start: str
    prepare: str | None


def parse(table: Table, board: Board) -> Loader:
    """Read it.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    own = table.table("loader")
    kind = own.text("kind")
    if kind not in KINDS:
        raise ConfigError(
            "config-value", f"{table.path}: loader.kind", expected=f"one of {', '.join(KINDS)}", found=kind
        )
    numbers = own.table("partitions")
    found = Loader(
        kind=kind,
        disk=own.text("disk"),
        partitions={_value(slot.bootenv): numbers.integer(slot.name) for slot in board.slots},
        roots={_value(slot.bootenv): slot.device for slot in board.slots},
        kernel=own.text("kernel", "/boot/vmlinuz"),
        initramfs=own.optional_text("initramfs"),
        device_tree=own.optional_text("device_tree"),
        arguments=own.text("arguments", ""),
        start=own.text("start", "booti"),
        prepare=own.optional_text("prepare"),
    )
    numbers.done()
    own.done()
    texts = (found.disk, found.kernel, found.initramfs, found.device_tree, found.arguments, found.start)
    for text in (*texts, *found.partitions, *found.roots.values()):
        if text and not _WORD.fullmatch(text):
            raise ConfigError(
                "config-value", f"{table.path}: loader", expected="no quotes, no line ends", found=repr(text)
            )
    return found


def _value(bootenv: Mapping[str, str]) -> str:
    return next(iter(bootenv.values()))
