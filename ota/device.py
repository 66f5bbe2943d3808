"""This device as handlers see it: its slots and what they hold, its network, whom to tell of progress."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ota.board import Board, Slot
from ota.config import Config
from ota.errors import DeviceError, UpdateError
from ota.interfaces import Cost, Progress
from ota.io.network import Network
from ota.io.servers import Servers
from ota.io.target import Target, is_mounted, same_file
from ota.native.memory import resident
from ota.sync.footprint import BUFFERS, NETWORKING
from ota.sync.manifests import Manifests

# What a look at the device does not need is loaded when it is.
if TYPE_CHECKING:
    from ota.io.http import HttpSource
    from ota.sync.stream import Image


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry goes: a path that may be written, and the slot that it is, if it is one."""

    path: Path
    slot: Slot | None


@dataclass(frozen=True, slots=True)
class Device:
    """What handlers are handed."""

    config: Config
    manifests: Manifests
    progress: Progress
    targets: tuple[Path, ...] = ()  # what the package at hand writes; none of them is a seed
    max_download: int | None = None  # bytes of payload that may come over the network; None: any

    @property
    def board(self) -> Board:
        return self.config.board

    @property
    def network(self) -> Network:
        return self.config.network

    @property
    def servers(self) -> Servers:
        return Servers(self.config.state_dir)

    def source(self, url: str, size: int) -> HttpSource:
        """A published file of so many bytes, of which parts are wanted."""
        from ota.io.http import HttpSource

        return HttpSource(url, size, self.network.within(self._spare()), self.servers)

    def source_of_all(self, url: str, size: int) -> HttpSource:
        """A published file of so many bytes; one request asks for all that is missing of it."""
        from ota.io.http import HttpSource

        return HttpSource(url, size, self.network.within(self._spare()), self.servers, request=size)

    def _spare(self) -> int:
        """Bytes of the memory limit that are left for what is in flight; below zero where it is too low."""
        return self.config.memory - resident() - BUFFERS - NETWORKING

    def path(self, slot: Slot) -> Path:
        """Where a slot lies on this very device."""
        return self.config.paths[slot.name]

    def slot(self, name: str) -> Slot:
        """A slot by its name.

        Raises:
            DeviceError: "slot-unknown".
        """
        for slot in self.board.slots:
            if slot.name == name:
                return slot
        known = ", ".join(slot.name for slot in self.board.slots)
        raise DeviceError("slot-unknown", "no such slot", expected=f"one of {known}", found=name)

    def find(self, device: str) -> Place:
        """What an sw-description's `device`, `source` or `rdiffbase` means here.

        The board's word for a slot means that slot, wherever it lies on this device; any other path means
        itself, and is the slot whose device it is.
        """
        path = Path(device)
        for slot in self.board.slots:
            if device == slot.device or same_file(path, self.path(slot)):
                return Place(self.path(slot), slot)
        return Place(path, None)

    def writable(self, device: str | None) -> Place:
        """As `find`, for a target.

        Raises:
            UpdateError: "description-content": the entry names no device.
            DeviceError: "slot-running" or "slot-mounted".
        """
        if not device:
            raise UpdateError("description-content", "an image has no device", expected="a path")
        place = self.find_idle(device)
        if is_mounted(place.path):
            raise DeviceError("slot-mounted", f"{place.path} is mounted")
        return place

    def find_idle(self, device: str) -> Place:
        """As `find`, for what may be changed, even where its file system is mounted.

        Raises:
            DeviceError: "slot-running".
        """
        place = self.find(device)
        running = self.path(self.config.running)
        if place.slot == self.config.running or same_file(place.path, running):
            raise DeviceError(
                "slot-running",
                f"{device} is the running slot {self.config.running.name!r}",
                hint="select the mode that installs into the other slot",
            )
        return place

    def write_image(
        self,
        place: Place,
        offset: int,
        blocks: Iterable[bytes],
        image: Image,
        version: str,
        *,
        exclusive: bool = True,
    ) -> Cost:
        """Write an image that comes as a stream, prove it, remember what the slot holds now.

        Raises:
            OtaError: the image is not in place; what the slot holds is unknown.
        """
        from ota.sync import stream

        if place.slot:
            self.manifests.forget(place.slot.name)
        with Target(place.path, writable=True, exclusive=exclusive) as target:
            written = stream.write(blocks, target, offset, image, self.progress)
            manifest = stream.read_back(target, offset, written, self.progress)
        if place.slot and not offset:
            self.manifests.commit(place.slot.name, manifest, version, url="")
        assert written.size is not None
        return Cost(written_bytes=written.size, verified_bytes=written.size)
