"""Disks and their partitions as the kernel knows them (sysfs), and who uses them.

A partition is in use where it carries, through whatever lies between (LVM, dm-crypt, RAID, loop devices), a
mounted file system, swap, or a path that the caller names; or where the kernel says that it is claimed.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import DeviceError
from ota.io import program

PACKAGE: Final = "util-linux"  # Debian's, of partx and blkid
WHOLE: Final = 0  # stands for the disk itself where partitions are numbered

_SYSFS_SECTOR: Final = 512  # bytes, whatever the disk's own are (Documentation/ABI/stable/sysfs-block)
_KERNEL: Final = "the kernel"  # RAID, LVM, a mount in another namespace, ...
_WAIT_S: Final = 5  # for nodes in /dev, and for a partition that udev still looks at
_LOOK_S: Final = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a disk says of itself."""

    sector: int  # bytes
    preferred: int  # bytes that it likes to be written at once; 0: it does not say


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a partition lies."""

    start: int  # bytes
    size: int  # bytes; 0: an extended one, of which the kernel need not know


@dataclass(frozen=True, slots=True)
class Use:
    """What a partition is used for, and where the kernel has it."""

    what: str
    extent: Extent


def geometry(disk: Path) -> Geometry:
    """Sector sizes of a disk; a file has sectors of 512 bytes."""
    queue = _sysfs(_number(disk)) / "queue"
    if not disk.is_block_device() or not queue.exists():
        return Geometry(_SYSFS_SECTOR, 0)
    sector = int((queue / "logical_block_size").read_text())
    return Geometry(sector, int((queue / "optimal_io_size").read_text()))


def check_writable(disk: Path) -> None:
    """Refuse a disk that is write-protected; the kernel opens it for writing all the same.

    Raises:
        DeviceError: "slot-write".
    """
    protected = _sysfs(_number(disk)) / "ro"
    is_protected = disk.is_block_device() and protected.exists() and int(protected.read_text())
    if is_protected or not os.access(disk, os.W_OK):
        raise DeviceError("slot-write", f"{disk} is write-protected")


def nodes(disk: Path) -> dict[int, Path]:
    """Number -> device of each partition that the kernel knows and /dev has; none of a file."""
    found = {number: _node(disk, number, folder) for number, folder in sorted(_partitions(disk))}
    return {number: path for number, path in found.items() if path}


def extents(disk: Path) -> dict[int, Extent]:
    """Where each partition lies that the kernel knows."""
    return {number: _extent(folder) for number, folder in _partitions(disk)}


def node(disk: Path, number: int) -> Path:
    """The device of a partition.

    Raises:
        DeviceError: "partition-missing": the kernel does not know it, or /dev lacks its node.
    """
    path = nodes(disk).get(number)
    if path is None:
        found = "the kernel knows it" if number in extents(disk) else "nor does the kernel know it"
        raise DeviceError(
            "partition-missing", f"/dev has no node of partition {number} of {disk}", found=found
        )
    return path


def tell(disk: Path, wanted: Mapping[int, Extent]) -> None:
    """Make the kernel know these partitions of a disk and no others, and wait for their nodes.

    What stays where it is stays in use, and may become larger.

    Raises:
        DeviceError: "program-failed": a partition that goes is in use after all.
        ConfigError: "tool-missing".
    """
    if not disk.is_block_device():
        return
    for number, extent in extents(disk).items():
        if number not in wanted or wanted[number].start != extent.start:
            _partx("--delete", number, disk)
    for number, extent in extents(disk).items():
        if wanted[number].size not in (0, extent.size):
            _partx("--update", number, disk)
    for number in sorted(wanted.keys() - extents(disk).keys()):
        if wanted[number].size:
            _partx("--add", number, disk)
    if shutil.which("udevadm"):
        program.run(["udevadm", "settle", "--timeout=30"], timeout_s=60)
    deadline = time.monotonic() + _WAIT_S
    while nodes(disk).keys() != extents(disk).keys():
        if time.monotonic() > deadline:
            _log.warning("/dev lacks nodes of partitions of %s", disk)
            return
        time.sleep(_LOOK_S)


def in_use(disk: Path, also: Iterable[Path] = (), system: Path = Path("/")) -> dict[int, Use]:
    """By number, each partition that is in use, and WHOLE where the disk itself is.

    Args:
        disk: a block device, or a file that loop devices may show.
        also: devices and files that count as used.
        system: where /proc and /sys lie.
    """
    used: dict[str, str] = {}
    named = ((_number(path), str(path)) for path in also)
    for device, what in (*_mounts(system), *_swaps(system), *named):
        for under in _under(device, system):
            used.setdefault(under, what)
    found: dict[int, Use] = {}
    for shown in [disk] if disk.is_block_device() else _loops(disk, system):
        for number, folder in _partitions(shown, system):
            what = used.get((folder / "dev").read_text().strip(), "")
            node = _node(shown, number, folder)
            if what or (node and _is_claimed(node)):
                found[number] = Use(what or _KERNEL, _extent(folder))
        what = used.get(_number(shown), "")
        if what or (not found and _is_claimed(shown)):  # by who has a partition, too
            found[WHOLE] = Use(what or _KERNEL, Extent(0, 0))
    return found


def check_free(disk: Path, start: int, stop: int) -> None:
    """Refuse to write a part of a disk in which a partition lies that is in use.

    Args:
        start: bytes.
        stop: bytes.

    Raises:
        DeviceError: "partition-in-use".
    """
    for number, use in in_use(disk).items():
        end = use.extent.start + use.extent.size
        if number == WHOLE or (start < end and use.extent.start < stop):
            which = disk if number == WHOLE else f"partition {number} of {disk}"
            raise DeviceError("partition-in-use", f"{which} would be written", found=use.what)


def _partx(step: str, number: int, disk: Path) -> None:
    """Again for a while where somebody looks at the partition just now."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            program.tool("partx", step, "--nr", str(number), disk)
            return
        except DeviceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_S)


def _extent(folder: Path) -> Extent:
    start, size = (int((folder / word).read_text()) * _SYSFS_SECTOR for word in ("start", "size"))
    return Extent(start, size)


def _partitions(disk: Path, system: Path = Path("/")) -> Iterator[tuple[int, Path]]:
    """Number and folder in sysfs of each partition."""
    if disk.is_block_device():
        for file in _sysfs(_number(disk), system).glob("*/partition"):
            yield int(file.read_text()), file.parent


def _node(disk: Path, number: int, folder: Path) -> Path | None:
    """By the kernel's name or, where a /dev has names of its own, the one that goes with the disk's."""
    name = re.search(r"^DEVNAME=(.+)$", (folder / "uevent").read_text(), re.MULTILINE)
    own = disk.resolve()
    beside = own.with_name(f"{own.name}{'p' if own.name[-1].isdigit() else ''}{number}")
    for path in (Path("/dev") / (name[1] if name else folder.name), beside):
        if path.is_block_device() and _number(path) == (folder / "dev").read_text().strip():
            return path
    return None


def _sysfs(number: str, system: Path = Path("/")) -> Path:
    return system / "sys/dev/block" / number


def _number(path: Path) -> str:
    """Major:minor of the block device that a path is, or that holds it."""
    try:
        status = path.stat()
    except OSError:
        return "none"
    device = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def _mounts(system: Path) -> Iterator[tuple[str, str]]:
    """proc(5), /proc/pid/mountinfo. A file system may have a number of its own (btrfs): its source counts."""
    for line in (system / "proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        folder, source = fields[4], fields[fields.index("-") + 2]
        yield fields[2], folder
        if source.startswith("/") and Path(source).is_block_device():
            yield _number(Path(source)), folder


def _swaps(system: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = (system / "proc/swaps").read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        yield _number(Path(line.split()[0])), "swap"


def _under(number: str, system: Path) -> Iterator[str]:
    """A block device, and all that it lies on; of a partition's disk only what that lies on."""
    yield number
    folder = _sysfs(number, system).resolve()
    if (folder / "partition").exists():
        folder = folder.parent
    for slave in folder.glob("slaves/*/dev"):
        yield from _under(slave.read_text().strip(), system)
    backing = folder / "loop/backing_file"
    if backing.exists():
        yield from _under(_number(Path(backing.read_text().rstrip("\n"))), system)


def _loops(file: Path, system: Path) -> Iterator[Path]:
    """The loop devices that show a file."""
    for backing in (system / "sys/block").glob("loop*/loop/backing_file"):
        if backing.read_text().rstrip("\n") == str(file.resolve()):
            yield Path("/dev") / backing.parents[1].name


def _is_claimed(path: Path) -> bool:
    """Whether the kernel lets nobody else have it: open(2), O_EXCL without O_CREAT."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False
