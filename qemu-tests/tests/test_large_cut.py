"""A large image, on a virtio disk: its update is cut in the middle, and goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ram
import verdict
from board import PowerLostError
from disk import SECTOR, CachedDisk, Cut
from rig import Rig
from small import Bus, Environment, Layout, Start

pytestmark = pytest.mark.boards

LARGE = Layout(image=256 << 20, slot=256 << 20, spacing=4 << 20)
INSTALL = ("install", "/data/2.swu", "--no-reboot", "--json")
UPDATES_S = 600  # on a busy machine


@pytest.fixture
def rig(tmp_path: Path, tool: Callable[[str], Path]) -> Iterator[Rig]:
    rig = Rig(tmp_path, ram.profile("amd64"), tool("nginx"), LARGE)
    yield rig
    rig.close()


def test_an_update_of_a_large_image_goes_on_after_a_cut(
    rig: Rig, record_property: Callable[[str, object], None]
) -> None:
    device = rig.device(Bus.VIRTIO, Environment.GRUB, Start.OLD)
    with rig.power_on(device, CachedDisk(1)) as board:
        device.disk.arm(Cut(LARGE.image // 4 // SECTOR, within=device.slot_b))  # half of what differs
        with pytest.raises(PowerLostError):
            board.run(*device.words(*INSTALL), timeout=UPDATES_S)
        assert device.disk.wait_for_cut(0)
    violations = [*verdict.after_cut(device)]
    held, before = device.held(), len(rig.origin.ranges())
    with rig.power_on(device, CachedDisk(2)) as board:
        result = board.run(*device.words(*INSTALL), timeout=UPDATES_S)
    assert result.status == 0, result
    print(f"finished: {result.out}")
    violations += verdict.after_command(device, {"boot_slot": "b", "ustate": "1"})
    violations += verdict.fetched_twice(held, rig.origin.ranges()[before:])
    record_property("cuts injected", 1)
    record_property("violations", len(violations))
    assert not violations
