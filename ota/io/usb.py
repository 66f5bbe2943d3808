"""What is plugged in: file systems on USB disks and other removable media, as sysfs tells them.

Linux, Documentation/ABI/stable/sysfs-block: `removable`, `size`, `partition`; below a USB controller the
resolved path of a device has a part "usbN".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BLOCK: Final = Path("/sys/block")

_NO_STICKS: Final = re.compile(r"fd[0-9]|sr[0-9]|loop|ram|zram|dm-|md|nbd")
_USB: Final = re.compile(r"usb[0-9]+")


def partitions(block: Path = BLOCK, devices: Path = Path("/dev")) -> list[Path]:
    """The devices that may hold a file system: a disk's partitions, or the disk where it has none.

    Args:
        block: sysfs' folder of whole disks.
        devices: the folder of device nodes.
    """
    disks = sorted(path for path in block.iterdir() if _is_stick(path)) if block.is_dir() else []
    return [devices / name for disk in disks for name in _parts(disk)]


def _is_stick(disk: Path) -> bool:
    if _NO_STICKS.match(disk.name) or _read(disk / "size") in ("", "0"):
        return False
    return _read(disk / "removable") == "1" or any(map(_USB.fullmatch, disk.resolve().parts))


def _parts(disk: Path) -> Iterator[str]:
    parts = sorted(
        (path.parent for path in disk.glob("*/partition")),
        key=lambda part: int(_read(part / "partition") or 0),
    )
    yield from (part.name for part in parts) if parts else (disk.name,)


def _read(attribute: Path) -> str:
    """What sysfs says; nothing where it is not there, or goes at this moment."""
    try:
        return attribute.read_text().strip()
    except OSError:
        return ""
