"""Each emulated board boots from its eMMC, through its boot loader, into a system with our agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import emmc
import emulation
import images
import pytest
from board import Board, LateError, Machine
from disk import Content, Disk, Emmc
from emulator import EMULATED, emulator
from guest import driver
from images import Fault

pytestmark = pytest.mark.boards

STARTS = ".*otakit: slot=a ustate=0 tries=0"
SAYS = {  # what the console shows of a release that is bad
    Fault.PANICS: ".*Kernel panic - not syncing: Attempted to kill init!.*",
    Fault.HANGS: "otakit-test: hangs",
    Fault.NO_ROOT: "initramfs: /dev/mmcblk0p2 cannot be mounted",
}

PowerOn = Callable[[str, Path], Board]


@pytest.fixture
def power_on(tmp_path: Path) -> Iterator[PowerOn]:
    """A board of that name with a release in slot a."""
    with ExitStack() as boards:

        def start(name: str, release: Path) -> Board:
            target = emulation.read(name)
            machine = Machine(emulator(target.architecture), (*target.arguments, *EMULATED))
            disk = Disk(Content(emmc.disk_image(name, {"a": release})), Emmc())
            board = Board(machine, tmp_path, emmc=disk, start=emmc.firmware(name))
            return boards.enter_context(board)

        yield start


@pytest.mark.parametrize("name", emulation.NAMES)
def test_a_board_boots_into_a_system_with_our_agent(name: str, power_on: PowerOn) -> None:
    board = power_on(name, images.slot_image(name, "1.0.0"))
    board.wait(STARTS)
    board.wait(driver.READY, 120)
    print(f"{name}: ready after {board.up_s:.1f} s")
    board.wait(".*slot a runs: nothing on trial.*", 120)  # ota boot, started by the system
    assert "VERSION_ID=1.0.0" in board.shell("cat /etc/os-release")
    assert board.shell("mount").count("/dev/mmcblk0p") == (3 if name == "qemu-x86_64" else 2)
    status = board.run("ota", "status", "--json")
    assert status.status == 0, status
    assert status.answer["board"] == name
    print(f"{name}: ota status took {status.wall_s:.1f} s, {status.peak_rss_bytes / 1e6:.1f} MB")
    assert board.run("healthy").status == 0


@pytest.mark.parametrize("fault", SAYS)
def test_a_bad_release_ends_in_the_boot_loader(fault: Fault, power_on: PowerOn) -> None:
    name = "qemu-arm64"  # the faster one
    board = power_on(name, images.slot_image(name, "2.0.0", fault=fault))
    board.wait(STARTS)
    board.wait(SAYS[fault], 120)
    board.wait(STARTS)
    print(f"{name}: {fault}, back after {board.up_s:.1f} s")


def test_a_release_that_hangs_early_has_no_watchdog(power_on: PowerOn) -> None:
    board = power_on("qemu-arm64", images.slot_image("qemu-arm64", "2.0.0", fault=Fault.HANGS_EARLY))
    board.wait("otakit-test: hangs", 120)
    with pytest.raises(LateError):
        board.wait(STARTS, 20)
