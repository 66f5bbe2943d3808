"""An emulated board as a product: its eMMC as the factory left it, and the server that has its releases.

    with Product("qemu-arm64", folder) as product:
        product.publish(product.pack(product.release("2.0.0")))
        with product.power_on() as board:
            product.wait_for_trial(board, "b", "2.0.0")

Boards ask at a port of their own, which stands in their images: who wants a board that another has waits.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import artefacts
import emmc
import emulation
import emulator
import images
import trust
from acceleration import acceleration
from board import Board, Machine, Result
from disk import Content, Disk, Emmc, Model
from guest import driver
from images import Fault

from ota.tests.server import Request, Server
from packager import cli as packager

FIRST: Final = "1.0.0"  # what the factory installs
BOOTS_S: Final = 180  # until a system is up, on a busy machine
UPDATES_S: Final = 300

# In a guest; arguments: where it is, where it goes.
_FETCH: Final = """\
import requests, sys
answer = requests.get(sys.argv[1], verify="/etc/otakit/servers.pem")
answer.raise_for_status()
with open(sys.argv[2], "wb") as file:
    file.write(answer.content)
"""


class Method(StrEnum):
    """How a release is packed; a type of the sw-description."""

    DELTA = "delta"
    RDIFF = "rdiff_image"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Release:
    """A system of some version."""

    version: str
    image: Path
    digest: str  # sha256
    size: int  # bytes


class Product:
    """One device, and its server.

    Args:
        board: its name in `boards/`.
        folder: for this product alone.
    """

    def __init__(self, board: str, folder: Path) -> None:
        self.emulation = emulation.read(board)
        artefacts.FOLDER.mkdir(parents=True, exist_ok=True)
        self._lock = (artefacts.FOLDER / f".product-{board}.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = folder
        self._public = folder / "public"
        self._public.mkdir(parents=True)
        self.first = self.release(FIRST)
        self.content = Content(emmc.disk_image(board, {"a": self.first.image}))
        keys = trust.trust()
        self._server = Server(
            folder / "server", self._public, artefacts.tool("nginx"),
            identity=(keys / trust.SERVERS, keys / trust.SERVER), port=images.PORTS[board],
        )  # fmt: skip
        architecture = self.emulation.architecture
        arguments = (*self.emulation.arguments, *acceleration(architecture))
        self._machine = Machine(emulator.emulator(architecture), arguments)

    def release(self, version: str, fault: Fault | None = None) -> Release:
        """A system for this board."""
        image = images.slot_image(self.emulation.board, version, fault=fault)
        data = image.read_bytes()
        return Release(version, image, hashlib.sha256(data).hexdigest(), len(data))

    def pack(
        self, release: Release, method: Method = Method.DELTA, base: Release | None = None, board: str = ""
    ) -> Path:
        """A signed package; what goes with it is on the server.

        Args:
            release: what is in it.
            method: how.
            base: of an rdiff delta.
            board: that it is for, where that is not this one.
        """
        board = board or self.emulation.board
        folder = self.folder / f"{release.version}-{method}-{board}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        more = f'url = "{self.url}"\n' if method is Method.DELTA else ""
        if base:
            more += f'base = "{base.image}"\n'
        (folder / "release.toml").write_text(
            f'version = "{release.version}"\nboard = "{board}"\nname = "system"\n'
            f'[[image]]\nname = "rootfs"\nfile = "{release.image}"\ntype = "{method}"\n{more}'
        )
        words = ["build", str(folder / "release.toml"), "-o", str(folder), "--dev-keys", str(trust.trust())]
        assert packager.main([*words, "--quiet"]) == 0
        for file in folder.glob("publish/*"):
            shutil.copy(file, self._public)
        return folder / f"system-{release.version}.swu"

    def publish(self, package: Path) -> None:
        """From now on this is the latest release."""
        shutil.copy(package, self._public / images.LATEST)

    def withdraw(self) -> None:
        """There is nothing new any more."""
        (self._public / images.LATEST).unlink(missing_ok=True)

    def offer(self, file: Path) -> str:
        """Serve a file; returns its address in the guest."""
        shutil.copy(file, self._public)
        return f"{self.url}{file.name}"

    def bring(self, board: Board, file: Path, place: str) -> None:
        """Have a file in the guest."""
        result = board.run("python3", "-c", _FETCH, self.offer(file), place, timeout=UPDATES_S)
        assert result.status == 0, result

    def power_on(
        self, model: Model | None = None, *, arguments: Sequence[str] = (), terminal: bool = False
    ) -> Board:
        """Start it.

        Args:
            model: of the eMMC.
            arguments: of the emulator, beside the board's.
            terminal: whether its console is this program's.
        """
        self.disk = Disk(self.content, model or Emmc())
        start = emmc.firmware(self.emulation.board)
        machine = replace(self._machine, arguments=(*self._machine.arguments, *arguments))
        return Board(machine, self.folder / "board", emmc=self.disk, start=start, terminal=terminal)

    def wait_for(self, board: Board, slot: str, *, timeout: float = BOOTS_S) -> None:
        """Until the system of a slot is up."""
        board.wait(f".*otakit: slot={slot} .*", timeout)
        self.wait_for_system(board, timeout=timeout)

    def wait_for_system(self, board: Board, *, timeout: float = BOOTS_S) -> None:
        """Until the system that was started is up."""
        board.wait(driver.READY, timeout)
        board.reconnect()

    def wait_for_trial(self, board: Board, slot: str, version: str) -> None:
        """Until a new system was tried, found good, and can be talked to."""
        board.wait(f".*otakit: slot={slot} ustate=2 tries=1", BOOTS_S)
        board.wait_all(driver.READY, f".*{version} in slot {slot}: confirmed.*", timeout=BOOTS_S)
        board.reconnect()

    def ota(self, board: Board, *words: str) -> Result:
        """Run the agent, behind the one that runs at boot."""
        until = time.monotonic() + UPDATES_S
        while True:
            result = board.run("ota", *words, timeout=UPDATES_S)
            if '"busy"' not in result.out and "ota: busy:" not in result.errors:
                return result
            assert time.monotonic() < until, result
            time.sleep(1)

    def restart(self, board: Board) -> None:
        """Have the guest start over; whoever carries that out would not live to say so."""
        # systemd(1), SIGRTMIN+5: systemctl would wait for the end of the driver, which waits for it.
        is_systemd = self.emulation.architecture == "amd64"
        board.shell("kill -39 1" if is_systemd else "(sleep 0.5; reboot) > /dev/null 2>&1 &")
        board.reconnect()

    def digest(self, slot: str, size: int) -> str:
        """sha256 of so many bytes of a slot, off the medium."""
        data = self.content.read(self.emulation.offset(f"slot-{slot}"), size)
        return hashlib.sha256(data).hexdigest()

    def requests(self) -> list[Request]:
        """What the server was asked so far."""
        return self._server.requests()

    @property
    def url(self) -> str:
        """Of the server, in the guest."""
        return images.url(self.emulation.board)

    def close(self) -> None:
        self._server.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
