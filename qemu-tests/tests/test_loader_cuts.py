"""The power is cut while a real boot loader counts a try or falls back, between the sectors of its own store.

Only the boot loader runs, up to the line that it prints before it starts a kernel. In the end the disk is put
into the RAM profile, and the update is finished there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import emmc
import emulation
import emulator
import pytest
import ram
import verdict
from acceleration import acceleration
from board import Board, Machine, PowerLostError
from disk import Cut, Disk, Emmc
from rig import Rig
from small import Bus, Device, Environment, Start

from ota import board as boards
from ota.boot import table
from ota.boot.table import Slot, find

pytestmark = pytest.mark.boards

LEAST: Final = 10  # cuts of each boot loader
BOOTS_S: Final = 60  # to the boot loader's line, on a busy machine
LINE: Final = r"otakit: slot=([ab]) ustate=([0-7]) tries=([0-9]+)"
ENVIRONMENTS: Final = {"qemu-arm64": Environment.UBOOT, "qemu-x86_64": Environment.GRUB}
SECTORS: Final = {"qemu-arm64": (1, 2, 9, 16), "qemu-x86_64": (1, 2)}  # of a store that are cut at
OTHER: Final = {"a": "b", "b": "a"}
LIMITS: Final = {name: boards.load(name, Path()).tries for name in ENVIRONMENTS}


@dataclass(frozen=True, slots=True)
class Case:
    """One cut.

    Args:
        on_trial: the slot.
        tries: that were counted before.
        sector: of the boot loader's store, from 1 on; it is not written.
    """

    board: str
    on_trial: str
    tries: int
    sector: int

    def __str__(self) -> str:
        return f"{self.board}-{self.on_trial}-{self.tries}-{self.sector}"

    @property
    def variables(self) -> Mapping[str, str]:
        ustate = "2" if self.tries else "1"
        return {"boot_slot": self.on_trial, "ustate": ustate, "boot_tries": str(self.tries)}


CASES: Final = [
    Case(board, slot, tries, sector)
    for board in ENVIRONMENTS
    for slot, tries in itertools.product("ab", (0, LIMITS[board] - 1, LIMITS[board]))
    for sector in SECTORS[board]
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("rig"), ram.profile("amd64"), tool("nginx"))
    yield rig
    rig.close()


@pytest.mark.parametrize("board", ENVIRONMENTS)
def test_there_are_enough_cuts_of_each_boot_loader(board: str) -> None:
    assert sum(case.board == board for case in CASES) >= LEAST


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cut_inside_a_boot_loaders_store_leaves_a_board_that_starts(
    case: Case, rig: Rig, record_property: Callable[[str, object], None]
) -> None:
    device = rig.device(Bus.EMMC, ENVIRONMENTS[case.board], Start.WRITTEN)
    device.move(emmc.disk_image(case.board, {}, {"boot_slot": "a", "ustate": "0", "boot_tries": "0"}))
    device.tell(case.variables)
    with _power_on(rig, device, case.board) as board:
        device.disk.arm(Cut(case.sector, within=device.stores))
        with pytest.raises(PowerLostError):
            board.wait(LINE, BOOTS_S)
        assert device.disk.wait_for_cut(0)
    record_property("cuts injected", 1)
    violations = [*verdict.after_cut(device)]
    expected = _next_start(device, LIMITS[case.board])
    with _power_on(rig, device, case.board) as board:
        started = board.wait(LINE, BOOTS_S)[1]
    if started != expected:
        violations.append(f"slot {started} was started, and not {expected}")
    violations += _finished(rig, device, started, fell_back=started != case.on_trial)
    record_property("violations", len(violations))
    assert not violations


def _power_on(rig: Rig, device: Device, name: str) -> Board:
    """Through its own boot loader."""
    target = emulation.read(name)
    arguments = (*target.arguments, *acceleration(target.architecture))
    machine = Machine(emulator.emulator(target.architecture), arguments)
    device.disk = Disk(device.content, Emmc())
    return Board(machine, rig.folder / "loader", emmc=device.disk, start=emmc.firmware(name))


def _next_start(device: Device, limit: int) -> str:
    """The slot that the state table wants to be started from the disk as it is."""
    variables = device.variables()
    tries_left = int(variables["boot_tries"]) < limit
    row = find(table.Event.START, table.read_state(variables), named=True, tries_left=tries_left)
    assert row, variables
    return OTHER[variables["boot_slot"]] if row.slot is Slot.OTHER else variables["boot_slot"]


def _finished(rig: Rig, device: Device, running: str, *, fell_back: bool) -> list[str]:
    """What the agent does in the slot that was started; returns violations.

    A system on trial is confirmed. A fall-back is noted; then release 2 is installed, unless it runs.
    """
    device.running = running
    commands: list[tuple[str, ...]] = [("boot", "--no-reboot")] if fell_back else [("confirm",)]
    expected = {"boot_slot": running, "ustate": "3" if fell_back else "0"}
    if fell_back and running == "a":
        commands.append(("install", "/data/2.swu", "--no-reboot"))
        expected = {"boot_slot": "b", "ustate": "1"}
    with rig.power_on(device, Emmc()) as board:
        for command in commands:
            result = board.run(*device.words(*command))
            assert result.status == 0, result
    return [*verdict.after_command(device, expected)]
