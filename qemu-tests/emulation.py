"""What a board file says of an emulated board: its tables `[disk]` and `[emulator]`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Final

import artefacts

MIB: Final = 1 << 20
NAMES: Final = ("qemu-arm64", "qemu-x86_64")


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of the eMMC's user area; both numbers are bytes."""

    name: str  # boot, data, slot-NAME
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Emulation:
    """An emulated board."""

    board: str  # its name in `boards/`
    architecture: str  # Debian's word
    arguments: tuple[str, ...]  # of QEMU: the machine, but for the devices that all boards have
    console: str  # the kernel's word
    loader: str  # uboot or grub
    boot_partition: int  # bytes of boot0, and of boot1
    size: int  # bytes of the eMMC's user area
    partitions: tuple[Partition, ...]

    def partition(self, name: str) -> Partition:
        """A partition by its name."""
        return next(partition for partition in self.partitions if partition.name == name)

    def offset(self, name: str) -> int:
        """Where a partition begins in the image of the whole eMMC, in bytes."""
        return 2 * self.boot_partition + self.partition(name).start


def read(board: str) -> Emulation:
    """The emulated board of that name."""
    table = tomllib.loads((artefacts.ROOT / "boards" / f"{board}.toml").read_text())
    disk, emulator = table["disk"], table["emulator"]
    return Emulation(
        board=board,
        architecture=emulator["architecture"],
        arguments=tuple(emulator["arguments"]),
        console=emulator["console"],
        loader=table["loader"]["kind"],
        boot_partition=disk["boot_partition_mib"] * MIB,
        size=disk["size_mib"] * MIB,
        partitions=tuple(
            Partition(entry["name"], entry["start_mib"] * MIB, entry["size_mib"] * MIB)
            for entry in disk["partitions"]
        ),
    )
