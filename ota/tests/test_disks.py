from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import DeviceError
from ota.io import disks
from ota.io.disks import Extent
from ota.tests import loops
from ota.tests.loops import MIB, mounted, part

SCRIPT = "label: gpt\n1: size=8MiB\n2: size=32MiB\n5: size=8MiB\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with loops.disk(tmp_path / "disk", script=SCRIPT) as device:
        yield device


pytestmark = pytest.mark.tool("sfdisk", "partx")


def used(disk: Path, *also: Path) -> dict[int, str]:
    return {number: use.what for number, use in disks.in_use(disk, also).items()}


def test_partitions_have_numbers_places_and_nodes(disk: Path) -> None:
    assert disks.nodes(disk) == {number: part(disk, number) for number in (1, 2, 5)}
    assert disks.extents(disk)[2] == Extent(9 * MIB, 32 * MIB)
    with pytest.raises(DeviceError, match="partition-missing"):
        disks.node(disk, 3)


def test_where_dev_has_names_of_its_own_the_node_is_beside_the_disk(disk: Path, tmp_path: Path) -> None:
    for name, device in (("mmcblk0", disk), ("mmcblk0p5", part(disk, 5)), ("mmcblk0p2", part(disk, 1))):
        os.mknod(tmp_path / name, 0o60600, device.stat().st_rdev)
    part(disk, 5).unlink()
    assert disks.node(tmp_path / "mmcblk0", 5) == tmp_path / "mmcblk0p5"
    part(disk, 2).unlink()
    with pytest.raises(DeviceError, match="partition-missing"):  # there is one of that name, of another
        disks.node(tmp_path / "mmcblk0", 2)


def test_a_file_has_no_partitions_and_plain_sectors(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    assert disks.nodes(file) == {} and disks.extents(file) == {} and disks.in_use(file) == {}
    assert disks.geometry(file).sector == 512


def test_the_kernel_is_told_what_went_moved_grew_and_came(disk: Path) -> None:
    disks.tell(disk, {2: Extent(9 * MIB, 40 * MIB), 5: Extent(50 * MIB, 4 * MIB)})
    # partx reads the table that is there, which still says what it said.
    assert disks.extents(disk).keys() == {2, 5}
    loops.run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk, feed=(
        "label: gpt\n2: start=18432, size=81920\n5: start=102400, size=8192\n7: size=1MiB\n"
    ))  # fmt: skip
    wanted = {2: Extent(9 * MIB, 40 * MIB), 5: Extent(50 * MIB, 4 * MIB), 7: Extent(54 * MIB, MIB)}
    disks.tell(disk, wanted)
    assert disks.extents(disk) == wanted
    assert disks.nodes(disk).keys() == wanted.keys()


def test_a_mounted_partition_is_in_use(disk: Path, tmp_path: Path) -> None:
    loops.run("mkfs.ext4", "-q", part(disk, 5))
    assert used(disk) == {}
    with mounted(part(disk, 5), tmp_path / "mnt") as folder:
        assert used(disk) == {5: str(folder)}


def test_a_partition_is_in_use_through_a_loop_device_on_it(disk: Path, tmp_path: Path) -> None:
    loops.run("mkfs.ext4", "-q", part(disk, 2))
    over = Path(loops.run("losetup", "-f", "--show", part(disk, 2)).strip())
    try:
        with mounted(over, tmp_path / "mnt") as folder:
            assert used(disk) == {2: str(folder)}
    finally:
        loops.run("losetup", "-d", over)


def test_a_partition_is_in_use_through_a_file_on_it(disk: Path, tmp_path: Path) -> None:
    loops.run("mkfs.ext4", "-q", part(disk, 2))
    with (
        mounted(part(disk, 2), tmp_path / "outer") as outer,
        loops.disk(outer / "file", 8 * MIB, "label: gpt\n1: size=4MiB\n") as inner,
    ):
        loops.run("mkfs.ext4", "-q", part(inner, 1))
        with mounted(part(inner, 1), tmp_path / "inner"):
            assert used(inner).keys() == {1}
            assert used(disk).keys() == {2}


@pytest.mark.tool("mkswap", "swapon", "swapoff")
def test_swap_is_in_use(disk: Path) -> None:
    loops.run("mkswap", part(disk, 5))
    loops.run("swapon", part(disk, 5))
    try:
        assert used(disk) == {5: "swap"}
    finally:
        loops.run("swapoff", part(disk, 5))


def test_what_the_kernel_lets_nobody_have_is_in_use(disk: Path) -> None:
    descriptor = os.open(part(disk, 1), os.O_RDONLY | os.O_EXCL)
    try:
        assert used(disk) == {1: "the kernel"}
    finally:
        os.close(descriptor)
    descriptor = os.open(disk, os.O_RDONLY | os.O_EXCL)
    try:
        assert used(disk).keys() == {1, 2, 5}
        loops.run("partx", "--delete", disk)
        assert used(disk) == {disks.WHOLE: "the kernel"}
    finally:
        os.close(descriptor)


def test_what_the_caller_names_is_in_use(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "slot").symlink_to(part(disk, 2))
    assert used(disk, tmp_path / "slot", tmp_path / "none") == {2: str(tmp_path / "slot")}
    assert used(disk, disk).keys() == {disks.WHOLE}


def test_a_partition_is_in_use_through_the_device_mapper(disk: Path, tmp_path: Path) -> None:
    """sysfs as it is with LVM in dm-crypt on a partition; the kernel here may lack both."""
    status = part(disk, 5).stat()
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    own = f"{os.major(disk.stat().st_rdev)}:{os.minor(disk.stat().st_rdev)}"
    devices = tmp_path / "sys/dev/block"
    devices.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("36 1 252:1 / / rw - ext4 /dev/mapper/vg-root rw\n")
    for device, below in (("252:1", "252:0"), ("252:0", number)):
        (devices / device / "slaves/below").mkdir(parents=True)
        (devices / device / "slaves/below/dev").write_text(f"{below}\n")
    (devices / own).symlink_to(f"/sys/dev/block/{own}")
    (devices / number).symlink_to(f"/sys/dev/block/{number}")
    assert {n: use.what for n, use in disks.in_use(disk, system=tmp_path).items()} == {5: "/"}
