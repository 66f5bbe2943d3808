"""What tests of power cuts share: a saved guest, a server, small devices, and what an update writes there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ram
from board import Board
from disk import SECTOR, CachedDisk, Emmc, Entry, Event, Model
from servers import Origin
from small import Bus, Device, Environment, Factory, Layout, Start

from ota.interfaces import Range


@dataclass(frozen=True, slots=True)
class Writes:
    """What an update without cut writes, in sectors."""

    slot: int
    behind: int  # of the data partition, between the last of the slot and the switch


class Rig:
    """For one session of tests.

    Args:
        profile: of the guest.
        nginx: the program.
    """

    def __init__(self, folder: Path, profile: ram.Profile, nginx: Path, layout: Layout | None = None) -> None:
        self.folder = folder
        self.profile = profile
        publish = folder / "publish"
        publish.mkdir(parents=True)
        self.origin = Origin(folder / "server", publish, nginx)
        try:
            self.factory = Factory(folder / "factory", self.origin, publish, layout or Layout())
        except BaseException:
            self.origin.close()
            raise
        self._writes: dict[tuple[Bus, Start], Writes] = {}

    def device(self, bus: Bus, environment: Environment, start: Start) -> Device:
        return Device(self.factory, bus, environment, start)

    def power_on(self, device: Device, model: Model) -> Board:
        return device.power_on(self.profile, self.folder / "board", model)

    def writes(self, bus: Bus, start: Start) -> Writes:
        """Measured once, by an update that nothing disturbs."""
        if (bus, start) not in self._writes:
            device = self.device(bus, Environment.UBOOT, start)
            with self.power_on(device, reliable(bus)) as board:
                result = board.run(*device.words("install", "/data/2.swu"))
                assert result.status == 0, result
                self._writes[bus, start] = _count(device, device.disk.log)
        return self._writes[bus, start]

    def close(self) -> None:
        self.origin.close()


def reliable(bus: Bus) -> Model:
    """A disk as it should be."""
    return Emmc() if bus is Bus.EMMC else CachedDisk(0)


def _count(device: Device, log: list[Entry]) -> Writes:
    writes = [entry for entry in log if entry.event is Event.WRITE]
    last = max(number for number, entry in enumerate(writes) if entry.offset in _span(device.slot_b))
    switch = max(number for number, entry in enumerate(writes) if entry.offset in _span(device.stores))
    slot = _sectors(writes, device.slot_b)
    return Writes(slot, _sectors(writes[last:switch], device.data))


def _span(part: Range) -> range:
    return range(part.start, part.stop)


def _sectors(writes: list[Entry], part: Range) -> int:
    return sum(entry.length for entry in writes if entry.offset in _span(part)) // SECTOR
