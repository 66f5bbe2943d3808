"""A device that is switched on and off: `ota.tests.world`, with a boot loader made of the state table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ota import record
from ota.board import Board, load
from ota.boot import state
from ota.boot.environments import open_environment
from ota.boot.table import Action, Event
from ota.tests.world import Outcome, World, sha256


class Machine:
    """Its running system is whatever the boot loader started last.

    Args:
        boot: lines of [boot], beside those that say where the environment lies.
        more: further lines of device.toml.
    """

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, boot: str = "", more: str = "") -> None:
        self.world = world
        self.board: Board = load("demo", Path())
        self.running = "a"
        self.rebooted = world.folder / "rebooted"
        self.updates = world.folder / "updates"
        self.boot_lines, self.more = boot or f'packages = ["{self.updates}"]', more
        self.environment = 'environment = "file"\npath = "bootenv"'
        shutil.rmtree(self.updates, ignore_errors=True)
        self.updates.mkdir()
        self._starts = world.folder / "boot_id"
        monkeypatch.setattr(record, "_BOOT_ID", self._starts)
        self._number = 0
        self.lines: dict[str, str] = {}
        self._begin("a")

    def configure(
        self, boot: str | None = None, more: str | None = None, environment: str | None = None, **lines: str
    ) -> None:
        """Change device.toml; further keyword arguments are those of `World.write_config`."""
        self.boot_lines = self.boot_lines if boot is None else boot
        self.more = self.more if more is None else more
        self.environment = self.environment if environment is None else environment
        self.lines |= lines
        self._begin(self.running)

    def start(self, *, stores: bool = True, loads: bool = True) -> str:
        """Switch it on; returns the slot that the boot loader starts.

        Args:
            stores: whether the boot loader can write the environment.
            loads: whether there is a system in the named slot.
        """
        environment = open_environment("file", self.world.environment)
        slot = next(slot for slot in self.board.slots if slot.name == self.running)
        situation = state.read(environment, self.board, slot)
        step = state.step(situation, Event.START)
        if step.changes and not stores:
            step = state.step(situation, Event.NOT_STORED)
            assert step.action is Action.START_OTHER and situation.named
            self._begin(self.board.other(situation.named).name)
            return self.running
        environment.apply(step.changes)
        named = state.read(environment, self.board, slot).named
        assert named and step.action is Action.START_NAMED
        if not loads:
            step = state.step(state.read(environment, self.board, slot), Event.NOT_LOADED)
            assert step.action is Action.START_OTHER and not step.changes
            named = self.board.other(named)
        self._begin(named.name)
        return self.running

    def restart(self) -> str:
        """As `start`, where the last command asked for it."""
        assert self.asked_to_reboot()
        return self.start()

    def asked_to_reboot(self) -> bool:
        """Whether [boot] reboot was run since the last look."""
        asked = self.rebooted.exists()
        self.rebooted.unlink(missing_ok=True)
        return asked

    def ota(self, *arguments: str | Path) -> Outcome:
        return self.world.ota(*arguments)

    def variables(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.world.environment.read_text().split())

    def update(self) -> dict[str, object]:
        """What `ota status` tells of the last update."""
        update = self.ota("status").answer["update"]
        assert isinstance(update, dict)
        return update

    def make(self, version: str, payload: bytes = b"", *, board: str = "demo") -> Path:
        """A package that installs into either slot; another payload makes another package."""
        image = self.world.folder / f"{version}.img"
        image.write_bytes(f"system {version} ".encode() * 5000 + payload)
        images = "; ".join(
            f'copy-{slot} = {{ images: ( {{ filename = "{image.name}"; type = "raw"; device = "{device}"; '
            f'sha256 = "{sha256(image)}"; }} ); bootenv: ( {{ name = "boot_slot"; value = "{slot}"; }} ); }}'
            for slot, device in (("a", "/dev/mmcblk0p2"), ("b", "/dev/mmcblk0p3"))
        )
        compatible = "1.0" if board == "demo" else f"#RE:{board}"
        description = (
            f'software = {{ version = "{version}"; hardware-compatibility: [ "{compatible}" ]; '
            f"stable = {{ {images}; }}; }}\n"
        )
        return self.world.make_package(description, image, name=f"{version}.swu")

    def offer(self, version: str, payload: bytes = b"") -> Path:
        """Put a package where the device looks at boot."""
        return Path(shutil.move(self.make(version, payload), self.updates / f"{version}.swu"))

    def _begin(self, slot: str) -> None:
        self.running = slot
        self._number += 1
        self._starts.write_text(f"boot {self._number}\n")
        boot = f'[boot]\n{self.environment}\nreboot = ["touch", "{self.rebooted}"]\n{self.boot_lines}\n'
        lines = {**self.lines, "running": f'running.slot = "{slot}"', "boot": "", "more": boot + self.more}
        self.world.write_config(**lines)


def codes(outcome: Outcome) -> list[str]:
    """Of what `ota boot` complained of."""
    problems = outcome.answer["problems"]
    assert isinstance(problems, list)
    return [problem["code"] for problem in problems]
