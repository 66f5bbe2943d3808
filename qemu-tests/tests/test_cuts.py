"""The power is cut while a device updates itself: at counted moments, on both kinds of disk and environment.

After each cut the disk is looked at as the boot loader would, and every byte of the slot that it would start
is compared. Then the device is switched on again, and finishes. What was on the medium is not fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import pytest
import ram
import verdict
from board import PowerLostError
from disk import CachedDisk, Cut, Emmc, Fate, LyingDisk, Model
from rig import Rig, reliable
from small import Bus, Device, Environment, Start

pytestmark = pytest.mark.boards

LEAST: Final = 100  # cuts a run; each case is one, and fails where the power stays on


class Moment(StrEnum):
    """When the power goes."""

    WRITE = "write"  # while the slot is written
    SWITCH = "switch"  # between the last write of the slot and the switch
    STORE = "store"  # inside the boot environment: "an update is in progress", and the switch
    DONE = "done"  # when the command has said that it is done
    CONFIRM = "confirm"
    ROLLBACK = "rollback"
    FALL_BACK = "fall-back"  # while the agent notes that the boot loader fell back


# How many of each, for one kind of disk and one environment.
CUTS: Final = {
    Moment.WRITE: 9,
    Moment.SWITCH: 4,
    Moment.STORE: 6,
    Moment.DONE: 1,
    Moment.CONFIRM: 3,
    Moment.ROLLBACK: 3,
    Moment.FALL_BACK: 3,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A command of the agent, where it is run, and what it leads to."""

    command: tuple[str, ...]
    running: str  # slot
    before: Mapping[str, str]  # in the boot environment
    after: Mapping[str, str]  # of it


_TRIAL: Final = {"boot_slot": "b", "ustate": "2", "boot_tries": "1"}
INSTALL: Final = Scene(
    ("install", "/data/2.swu", "--no-reboot"), "a",
    {"boot_slot": "a", "ustate": "0", "boot_tries": "0"}, {"boot_slot": "b", "ustate": "1"},
)  # fmt: skip
SCENES: Final = {
    Moment.CONFIRM: Scene(("confirm",), "b", _TRIAL, {"boot_slot": "b", "ustate": "0"}),
    Moment.ROLLBACK: Scene(("rollback", "--no-reboot"), "b", _TRIAL, {"boot_slot": "a", "ustate": "3"}),
    Moment.FALL_BACK: Scene(("boot", "--no-reboot"), "a", _TRIAL, {"boot_slot": "a", "ustate": "3"}),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One cut, the `number`-th of `count` of its kind."""

    bus: Bus
    environment: Environment
    moment: Moment
    number: int  # from 0 on
    count: int

    def __str__(self) -> str:
        return f"{self.bus}-{self.environment}-{self.moment}-{self.number}"

    @property
    def start(self) -> Start:
        if self.moment is Moment.STORE or self.moment in SCENES:
            return Start.WRITTEN
        return Start.BLANK if self.bus is Bus.VIRTIO and self.number % 2 else Start.OLD

    @property
    def scene(self) -> Scene:
        return SCENES.get(self.moment, INSTALL)

    def model(self) -> Model:
        fates = list(Fate)
        cached = CachedDisk(self.number, fates[self.number % len(fates)])
        return cached if self.bus is Bus.VIRTIO else Emmc()

    def part(self, whole: int) -> int:
        """One of `whole`, from 1 on: the cases of a kind are spread over all."""
        return 1 + (2 * self.number + 1) * whole // (2 * self.count)

    def cut(self, rig: Rig, device: Device) -> Cut | None:
        match self.moment:
            case Moment.DONE:
                return None
            case Moment.WRITE:
                sectors = rig.writes(self.bus, self.start).slot
                return Cut(self.part(sectors), within=device.slot_b, torn=bool(self.number % 2))
            case Moment.SWITCH if self.number == self.count - 1:
                begun = Cut(device.store_sectors, within=device.stores)
                return Cut(1, within=device.stores, after=begun)
            case Moment.SWITCH:
                writes = rig.writes(self.bus, self.start)
                written = Cut(writes.slot, within=device.slot_b)
                return Cut(self.part(writes.behind), within=device.data, after=written)
            case Moment.STORE:
                sectors = 2 * device.store_sectors  # that it begins, and that it is done
                torn = self.environment is Environment.UBOOT and bool(self.number % 2)
                return Cut(self.part(sectors), within=device.stores, torn=torn)
            case _ if self.number:
                return Cut(self.part(device.store_sectors), within=device.stores)
        return Cut(self.part(8), within=device.data)  # what the agent notes: a block, at least


CASES: Final = [
    Case(bus, environment, moment, number, count)
    for bus in Bus
    for environment in Environment
    for moment, count in CUTS.items()
    for number in range(count)
]


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("rig"), ram.profile("amd64"), tool("nginx"))
    yield rig
    rig.close()


def test_there_are_enough_cuts() -> None:
    assert len(CASES) >= LEAST


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_update_is_finished_after_a_cut(
    case: Case, rig: Rig, record_property: Callable[[str, object], None]
) -> None:
    device, scene = rig.device(case.bus, case.environment, case.start), case.scene
    device.tell(scene.before)
    device.running = scene.running
    cut = case.cut(rig, device)
    began = time.monotonic()
    _run(rig, device, scene, case.model(), cut)
    violations = [*(verdict.after_cut(device) if cut else verdict.after_command(device, scene.after))]
    held, before = device.held(), len(rig.origin.ranges())
    _run(rig, device, scene, reliable(case.bus))
    violations += verdict.after_command(device, scene.after)
    violations += verdict.fetched_twice(held, rig.origin.ranges()[before:])
    record_property("cuts injected", 1)
    record_property("violations", len(violations))
    record_property("seconds", round(time.monotonic() - began, 1))
    assert not violations


@pytest.mark.parametrize("fate", [Fate.DROPPED, Fate.REORDERED])
def test_a_disk_that_lies_about_flushes_is_seen_to_lose_data(fate: Fate, rig: Rig) -> None:
    """The negative control: the same judgement, on a disk on which no update can be safe."""
    device = rig.device(Bus.VIRTIO, Environment.UBOOT, Start.OLD)
    _run(rig, device, INSTALL, LyingDisk(1, fate))
    assert device.disk.lost
    assert [*verdict.after_command(device, INSTALL.after)]


def _run(rig: Rig, device: Device, scene: Scene, model: Model, cut: Cut | None = None) -> None:
    """From power-on to the cut, or else until the command is done, and then the power goes."""
    with rig.power_on(device, model) as board:
        device.disk.arm(cut)
        try:
            result = board.run(*device.words(*scene.command))
        except PowerLostError:
            assert device.disk.wait_for_cut(0), "QEMU has ended by itself"
            return
        assert cut is None, f"the power stayed on: {result}"
        assert result.status == 0, result
