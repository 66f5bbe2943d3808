"""Packages on a stick: which devices are sticks, and that one is installed from."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.io import usb
from ota.tests import loops
from ota.tests.entries import needs_root
from ota.tests.machine import Machine, codes
from ota.tests.world import World


class Sysfs:
    """What the kernel shows of block devices, in folders of our own."""

    def __init__(self, folder: Path) -> None:
        self.block = folder / "block"
        self.block.mkdir()
        self._devices = folder / "devices"

    def add(
        self,
        name: str,
        parts: tuple[int, ...] = (),
        *,
        bus: str = "pci0",
        removable: int = 0,
        size: int = 2048,
    ) -> None:
        disk = self._devices / bus / "block" / name
        disk.mkdir(parents=True)
        (disk / "removable").write_text(f"{removable}\n")
        (disk / "size").write_text(f"{size}\n")
        for number in parts:
            part = disk / f"{name}{number}"
            part.mkdir()
            (part / "partition").write_text(f"{number}\n")
        (self.block / name).symlink_to(disk)


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (lambda sysfs: sysfs.add("sda", (1, 2, 10), bus="pci0/usb1/1-2/host0"), ["sda1", "sda2", "sda10"]),
        (lambda sysfs: sysfs.add("sdb", bus="pci0/usb2/2-1"), ["sdb"]),
        (lambda sysfs: sysfs.add("sdc", (1,), removable=1), ["sdc1"]),
        (lambda sysfs: sysfs.add("sdd", (1,)), []),
        (lambda sysfs: sysfs.add("sde", removable=1, size=0), []),
        (lambda sysfs: sysfs.add("sr0", removable=1), []),
        (lambda sysfs: sysfs.add("fd0", removable=1, size=8), []),
        (lambda sysfs: sysfs.add("mmcblk0", (1, 2)), []),
    ],
    ids=["usb", "no partitions", "removable", "built in", "no medium", "optical", "floppy", "eMMC"],
)
def test_sticks_are_told_from_other_disks(
    tmp_path: Path, add: Callable[[Sysfs], None], expected: list[str]
) -> None:
    sysfs = Sysfs(tmp_path)
    add(sysfs)
    assert usb.partitions(sysfs.block, Path("/dev")) == [Path("/dev", name) for name in expected]


def test_a_kernel_without_block_devices_has_none(tmp_path: Path) -> None:
    assert usb.partitions(tmp_path / "none") == []


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Machine:
    caplog.set_level("INFO")
    return Machine(world, monkeypatch, boot='packages = ["usb"]')


def plug_in(monkeypatch: pytest.MonkeyPatch, *partitions: Path) -> None:
    monkeypatch.setattr(usb, "partitions", lambda: list(partitions))


@needs_root
def test_the_package_on_a_stick_is_installed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    package = machine.make("2.0")
    with loops.disk(machine.world.folder / "stick") as stick:
        subprocess.run(["mkfs.ext4", "-q", stick], check=True, capture_output=True)
        with loops.mounted(stick, machine.world.folder / "mnt") as folder:
            shutil.copy(package, folder / "UPDATE.SWU")
        before = (machine.world.folder / "stick").read_bytes()
        plug_in(monkeypatch, stick)
        outcome = machine.ota("boot", "--no-reboot")
        assert (outcome.status, machine.update()["version"]) == (0, "2.0")
        assert not loops.is_claimed(stick)
        assert bool((machine.world.folder / "stick").read_bytes() == before)


@needs_root
def test_a_stick_without_a_file_system_is_no_fault(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with loops.disk(machine.world.folder / "stick") as stick:
        plug_in(monkeypatch, stick)
        assert machine.ota("boot").status == 0
    assert "has no file system" in caplog.text


@needs_root
def test_a_stick_whose_file_system_is_damaged_leaves_the_next_source(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.offer("2.0")
    machine.configure(boot=f'packages = ["usb", "{machine.updates}"]')
    with loops.disk(machine.world.folder / "stick") as stick:
        subprocess.run(["mkfs.ext4", "-q", stick], check=True, capture_output=True)
        with stick.open("r+b") as file:
            file.seek(2048)  # the group descriptors; the superblock stays whole
            file.write(b"\xff" * 64)
        plug_in(monkeypatch, stick)
        outcome = machine.ota("boot", "--no-reboot")
    assert (outcome.status, codes(outcome)) == (4, ["mount-failed"])
    assert machine.update()["version"] == "2.0"
