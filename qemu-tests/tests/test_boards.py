"""Each emulated board boots from its eMMC, through its boot loader, into a system with our agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import emmc
import emulation
import images
import pytest
from board import Board, Machine
from disk import Content, Disk, Emmc
from emulator import EMULATED, emulator
from guest import driver

pytestmark = pytest.mark.boards

PowerOn = Callable[[str, Path], Board]


@pytest.fixture
def power_on(tmp_path: Path) -> Iterator[PowerOn]:
    """A board of that name with a disk of that content."""
    with ExitStack() as boards:

        def start(name: str, image: Path) -> Board:
            target = emulation.read(name)
            machine = Machine(emulator(target.architecture), (*target.arguments, *EMULATED))
            disk = Disk(Content(image), Emmc())
            board = Board(machine, tmp_path, emmc=disk, start=emmc.firmware(name))
            return boards.enter_context(board)

        yield start


@pytest.mark.parametrize("name", emulation.NAMES)
def test_a_board_boots_into_a_system_with_our_agent(name: str, power_on: PowerOn) -> None:
    image = emmc.disk_image(name, {"a": images.slot_image(name, "1.0.0")})
    board = power_on(name, image)
    board.wait(".*otakit: slot=a ustate=0 tries=0?")
    board.wait(driver.READY, 120)
    print(f"{name}: ready after {board.up_s:.1f} s")
    assert "VERSION_ID=1.0.0" in board.shell("cat /etc/os-release")
    assert board.shell("mount").count("/dev/mmcblk0p") == (3 if name == "qemu-x86_64" else 2)
    status = board.run("ota", "--json", "status")
    print(status)
    assert status.status == 0, status
    assert json.loads(status.out)["running"] == "a"
