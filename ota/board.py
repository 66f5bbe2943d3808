"""A board file: what the build side and the device side must agree on about one kind of device.

The files lie in `boards/`; a product keeps its own and names it by path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ota import settings
from ota.boot.table import MAX_LIMIT
from ota.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one copy of the system lies, and how the sw-description speaks of it."""

    name: str
    device: str  # block device or file
    mode: str  # the sw-description's mode that installs into this slot
    bootenv: Mapping[str, str]  # variables that make the boot loader start this slot


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of device."""

    name: str  # the first word of /etc/hwrevision
    revisions: tuple[str, ...]  # hardware-compatibility
    software_set: str
    slots: tuple[Slot, ...]
    runs: str = ""  # where it was seen to run, e.g. "in CI, emulated"; empty: nowhere yet
    environment: str = "uboot"  # where the boot loader's variables lie: file, uboot or grub
    environment_path: str | None = None  # None: the environment's own default
    tries: int = 3  # starts of a new system before the boot loader falls back

    def other(self, slot: Slot) -> Slot:
        """The slot that runs while `slot` is written."""
        return next(other for other in self.slots if other is not slot)


def load(name: str, folder: Path) -> Board:
    """Read a board file by its name in `boards/`, or by path (relative to `folder`) where it ends in .toml.

    Raises:
        ConfigError: no such board, or the file is wrong.
    """
    return _parse(read(name, folder))


def read(name: str, folder: Path) -> settings.Table:
    """As `load`, for those who know more of its tables.

    Raises:
        ConfigError: no such board, or the file cannot be read.
    """
    if name.endswith(".toml"):
        return settings.read(folder / name)
    import importlib.resources  # takes longer than reading a file does

    resource = importlib.resources.files("boards").joinpath(f"{name}.toml")
    if "/" in name or not resource.is_file():
        known = sorted(
            entry.name.removesuffix(".toml")
            for entry in importlib.resources.files("boards").iterdir()
            if entry.name.endswith(".toml")
        )
        raise ConfigError(
            "file-missing", "no such board", expected="a path or " + ", ".join(known), found=name
        )
    with importlib.resources.as_file(resource) as path:
        return settings.read(path)


def _parse(table: settings.Table) -> Board:
    boot = table.table("boot")
    board = Board(
        name=table.text("name"),
        revisions=table.texts("revisions"),
        software_set=table.text("set", "stable"),
        slots=tuple(_slot(name, values) for name, values in table.named_tables("slots")),
        runs=table.text("runs", ""),
        environment=boot.text("environment", "uboot"),
        environment_path=boot.optional_text("path"),
        tries=boot.integer("tries", 3),
    )
    boot.done()
    table.leave("loader", "disk", "emulator")
    table.done()
    if not 1 <= board.tries <= MAX_LIMIT:
        raise ConfigError(
            "config-value", f"{table.path}: boot.tries", expected=f"1 to {MAX_LIMIT}", found=board.tries
        )
    if len(board.slots) != 2:
        raise ConfigError(
            "config-value", f"{table.path}: slots", expected="two slots, A and B", found=len(board.slots)
        )
    first, second = board.slots
    if first.mode == second.mode or first.device == second.device:
        raise ConfigError(
            "config-value",
            f"{table.path}: slots",
            expected="two modes and two devices",
            found=f"{first.mode} on {first.device}, {second.mode} on {second.device}",
        )
    return board


def _slot(name: str, table: settings.Table) -> Slot:
    slot = Slot(
        name=name,
        device=table.text("device"),
        mode=table.text("mode"),
        bootenv=table.mapping("bootenv"),
    )
    table.done()
    return slot
