"""Each emulated board boots from its eMMC, through its boot loader, into a system with our agent."""

from __future__ import annotations

from pathlib import Path

import emulation
import pytest
from guest import driver
from product import FIRST, Product

pytestmark = pytest.mark.boards

BOARDS = [pytest.param(name, marks=pytest.mark.board(name)) for name in emulation.NAMES]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_boots_into_a_system_with_our_agent(name: str, tmp_path: Path) -> None:
    with Product(name, tmp_path / "product") as product, product.power_on() as board:
        board.wait(".*otakit: slot=a ustate=0 tries=0")
        board.wait_all(driver.READY, ".*slot a runs: nothing on trial.*", timeout=120)
        print(f"{name}: ready after {board.up_s:.1f} s")
        assert f"VERSION_ID={FIRST}" in board.shell("cat /etc/os-release")
        assert board.shell("mount").count("/dev/mmcblk0p") == (3 if name == "qemu-x86_64" else 2)
        status = board.run("ota", "status", "--json")
        assert status.status == 0, status
        assert status.answer["board"] == name
        print(f"{name}: ota status took {status.wall_s:.1f} s, {status.peak_rss_bytes / 1e6:.1f} MB")
        assert board.run("healthy").status == 0
