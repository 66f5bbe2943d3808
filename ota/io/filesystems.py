"""New file systems: mkfs of e2fsprogs, dosfstools and btrfs-progs; what is there already says blkid.

An ext2, ext3 or ext4 gets the features that SWUpdate gives it (swupdate: fs/mke2fs.c), whatever this device's
e2fsprogs would choose: boot loaders do not read all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import DeviceError, UpdateError
from ota.io import program
from ota.io.target import Target

_EXT2: Final = "none,dir_index,resize_inode,ext_attr,filetype,large_file,sparse_super"
_EXT3: Final = f"{_EXT2},has_journal"
_EXT4: Final = f"{_EXT3},extent,64bit,flex_bg,metadata_csum,extra_isize,dir_nlink,huge_file"

_NOT_FOUND: Final = 2  # blkid(8), "Exit status"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a file system is made, and named."""

    package: str  # Debian's
    make: tuple[str, ...]  # the device comes last
    name: tuple[str, ...]  # device and label come last
    max_label: int  # bytes


def _ext(kind: str, features: str) -> _Kind:
    return _Kind(
        "e2fsprogs",
        (f"mkfs.{kind}", "-q", "-F", "-b", "4096", "-i", "8192", "-O", features),
        ("e2label",),
        16,
    )


_KINDS: Final[Mapping[str, _Kind]] = {
    "ext2": _ext("ext2", _EXT2),
    "ext3": _ext("ext3", _EXT3),
    "ext4": _ext("ext4", _EXT4),
    # A whole disk is taken too, and gets no partition table.
    "vfat": _Kind("dosfstools", ("mkfs.vfat", "-I", "--mbr=n"), ("fatlabel",), 11),
    "btrfs": _Kind("btrfs-progs", ("mkfs.btrfs", "-q", "-f"), ("btrfs", "filesystem", "label"), 255),
}
_NOT_IN_FAT: Final = frozenset('"*+,./:;<=>?[\\]|\x7f')  # FAT specification 1.03, "Short Directory Entries"


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A file system that is asked for, or was found."""

    kind: str  # ext2, ext3, ext4, vfat or btrfs; what was found may be any
    label: str | None = None  # None: whatever it is


def described(kind: str, label: str | None, where: str) -> Filesystem:
    """A file system that can be made; a FAT's label is in upper case, as everywhere.

    Raises:
        UpdateError: "description-content".
    """
    row = _KINDS.get(kind)
    if row is None:
        raise UpdateError("description-content", f"{where}: fstype", expected=", ".join(_KINDS), found=kind)
    if not label:
        return Filesystem(kind)
    label = label.upper() if kind == "vfat" else label
    fits = label.isprintable() and len(label.encode()) <= row.max_label
    if not fits or (kind == "vfat" and not (label.isascii() and _NOT_IN_FAT.isdisjoint(label))):
        raise UpdateError(
            "description-content",
            f"{where}: fslabel",
            expected=f"at most {row.max_label} characters that {kind} allows",
            found=label,
        )
    return Filesystem(kind, label)


def require(wanted: Filesystem) -> None:
    """Refuse where the programs are missing that make it.

    Raises:
        ConfigError: "tool-missing".
    """
    row = _KINDS[wanted.kind]
    for name in [row.make[0], *([row.name[0]] if wanted.label else [])]:
        program.require(name, row.package)


def find(device: Path) -> Filesystem | None:
    """What is on a device or in a file, by its signature; None where there is no file system.

    Raises:
        DeviceError: "program-failed": it cannot be read, or there are signatures of several.
        ConfigError: "tool-missing".
    """
    kind = _probe(device, "TYPE")
    return Filesystem(kind, _probe(device, "LABEL")) if kind else None


def with_uuid(uuid: str) -> list[str]:
    """The devices whose file system has this UUID.

    Raises:
        DeviceError: "program-failed".
        ConfigError: "tool-missing".
    """
    command = ["blkid", "-c", "/dev/null", "-o", "device", "-t", f"UUID={uuid}"]
    ended = program.run(command, timeout_s=program.TIMEOUT_S)
    if ended.status not in (0, _NOT_FOUND):
        raise DeviceError("program-failed", "blkid", expected="status 0", found=str(ended))
    return ended.output.split()


def is_there(wanted: Filesystem, found: Filesystem | None) -> bool:
    """Whether nothing need be written."""
    return found is not None and found.kind == wanted.kind and wanted.label in (None, found.label)


def make(device: Path, wanted: Filesystem, *, force: bool) -> None:
    """Make a file system, or only name it where it is of that kind already; then it is durable.

    Args:
        force: make it anew.

    Raises:
        DeviceError: "program-failed", "slot-damaged".
    """
    row = _KINDS[wanted.kind]
    found = None if force else find(device)
    if is_there(wanted, found):
        return
    if found is None or found.kind != wanted.kind:
        program.tool(*row.make, device)
    if wanted.label:
        program.tool(*row.name, device, wanted.label)
    with Target(device, writable=True) as target:
        target.sync()
    found = find(device)
    if not is_there(wanted, found):
        raise DeviceError(
            "slot-damaged", f"{device} does not keep its new file system", expected=wanted, found=found
        )


def _probe(device: Path, tag: str) -> str | None:
    command: list[str | Path] = ["blkid", "-p", "-u", "filesystem", "-o", "value", "-s", tag, device]
    ended = program.run(command, timeout_s=program.TIMEOUT_S)
    if ended.status not in (0, _NOT_FOUND):
        raise DeviceError("program-failed", f"blkid on {device}", expected="status 0", found=str(ended))
    return ended.output.rstrip("\n") or None
