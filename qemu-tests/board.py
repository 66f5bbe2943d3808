"""A board under power: QEMU with its disks, its console, and a line to the driver in the guest.

    with Board(machine, folder, emmc=disk) as board:
        board.wait("otakit: slot=a .*")
        assert board.run("ota", "status").status == 0

QEMU ends with the board, and with the tests, however they end.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import nbd
from disk import Disk
from guest import driver

BOOT_PARTITION: Final = 2 << 20  # bytes, each of the two of the eMMC

EMPTY: Final = 2 * BOOT_PARTITION + (512 << 20)  # bytes of a disk that is not there: the size of all eMMCs

_POLL_S: Final = 0.01
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # GRUB clears the screen in front of its first line
_TAIL: Final = 1500  # characters of the console that an error shows


class PowerLostError(Exception):
    """QEMU has ended: the disk has cut the power, or the guest has switched it off."""


class LateError(Exception):
    """What was waited for did not come."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is emulated, whatever it boots.

    Args:
        program: QEMU.
        arguments: machine, processor, memory, acceleration.
    """

    program: Path
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """How a command in the guest ended."""

    status: int
    out: str
    errors: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int

    @property
    def answer(self) -> dict[str, object]:
        """What `ota --json` said."""
        answer = json.loads(self.out)
        assert isinstance(answer, dict)
        return answer


class Board:
    """A machine that runs from the moment it is made.

    Args:
        machine: what to emulate.
        folder: the console goes to `console.log` there, after what stands in it.
        emmc: both boot partitions and the user area; None: an empty one.
        virtio: a second disk, /dev/vda in the guest.
        start: what it boots, where that is not the eMMC: firmware, a kernel, a saved state.
        terminal: whether its console is this program's too; Ctrl-A x switches it off.
    """

    def __init__(
        self,
        machine: Machine,
        folder: Path,
        *,
        emmc: Disk | None = None,
        virtio: Disk | None = None,
        start: Sequence[str | Path] = (),
        terminal: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._console, self._log = folder / "console.log", folder / "qemu.log"
        self._console.touch()
        self._seen = self._console.stat().st_size  # bytes
        self._disks = [disk for disk in (emmc, virtio) if disk]
        self._channel: socket.socket | None = None
        with ExitStack() as opened:
            # Not in `folder`, whose name may be too long for a socket.
            self._sockets = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="board-")))
            drives = [
                *("-device", "sdhci-pci", "-drive", self._drive("emmc", emmc, opened)),
                *("-device", f"emmc,drive=emmc,boot-partition-size={BOOT_PARTITION}"),
            ]
            # A PC's firmware would start an empty disk, not the eMMC; a saved guest has to find all it knows.
            if virtio or "-kernel" in start:
                drives += ["-drive", self._drive("virtio", virtio, opened)]
                drives += ["-device", "virtio-blk-pci,drive=virtio"]
            # The kernel ends QEMU when the tests end, even if they are killed.
            command: list[str | Path] = ["setpriv", "--pdeathsig", "KILL", machine.program]
            command += [*machine.arguments, *self._devices(terminal), *drives, *start]
            self.began = time.monotonic()
            with self._log.open("ab") as log:
                streams = (None, None) if terminal else (subprocess.DEVNULL, log)
                self._qemu = subprocess.Popen(command, stdin=streams[0], stdout=streams[1], stderr=log)
            for disk in self._disks:
                disk.on_cut = self._qemu.kill
            self._opened = opened.pop_all()

    def wait(self, pattern: str, timeout: float = 60) -> re.Match[str]:
        """The next whole line of the console that matches all over.

        Raises:
            LateError: after so many seconds.
            PowerLostError: QEMU ended without it.
        """
        until = time.monotonic() + timeout
        while True:
            ended = self._qemu.poll() is not None
            with self._console.open("rb") as console:
                console.seek(self._seen)
                *lines, _ = console.read().split(b"\n")
            for line in lines:
                self._seen += len(line) + 1
                text = _ESCAPES.sub("", line.decode(errors="replace")).strip("\r")
                if match := re.fullmatch(pattern, text):
                    return match
            if ended:
                raise PowerLostError(self._tail(f"QEMU ended before {pattern!r}"))
            if time.monotonic() > until:
                raise LateError(self._tail(f"no line {pattern!r} within {timeout} s"))
            time.sleep(_POLL_S)

    def wait_all(self, *patterns: str, timeout: float = 60) -> None:
        """As `wait`, for several lines that come in any order."""
        start, last = self._seen, self._seen
        for pattern in patterns:
            self._seen = start
            self.wait(pattern, timeout)
            last = max(last, self._seen)
        self._seen = last

    def run(self, *command: str, timeout: float = 120) -> Result:
        """Run a command in the guest, without a shell.

        Raises:
            LateError: after so many seconds.
            PowerLostError: QEMU ended before the command did.
        """
        request = json.dumps({"command": command}).encode() + b"\n"
        try:
            channel = self._channel or self._connect("driver")
            self._channel = channel
            channel.settimeout(timeout)
            channel.sendall(request)
            answer = b""
            while not answer.endswith(b"\n"):
                data = channel.recv(1 << 16)
                if not data:
                    raise ConnectionResetError
                answer += data
        except TimeoutError as error:
            raise LateError(self._tail(f"{shlex.join(command)} has not ended within {timeout} s")) from error
        except OSError as error:
            self._qemu.wait(10)
            raise PowerLostError(self._tail(f"QEMU ended during {shlex.join(command)}")) from error
        return Result(**json.loads(answer))

    def reconnect(self) -> None:
        """The guest has started over, and with it the driver."""
        if self._channel:
            self._channel.close()
            self._channel = None

    def shell(self, text: str, timeout: float = 120) -> str:
        """Run lines of shell that must succeed; returns what they printed."""
        result = self.run("sh", "-ec", text, timeout=timeout)
        assert result.status == 0, (text, result)
        return result.out

    def qmp(self, command: str, **arguments: object) -> object:
        """Tell QEMU something."""
        with self._connect("qmp") as channel, channel.makefile("rwb") as lines:
            json.loads(lines.readline())
            for execute, words in (("qmp_capabilities", {}), (command, arguments)):
                lines.write(json.dumps({"execute": execute, "arguments": words}).encode() + b"\n")
                lines.flush()
                while not (answer := json.loads(lines.readline())).keys() & {"return", "error"}:
                    pass  # events
                assert "return" in answer, (command, answer)
            return answer["return"]

    def reset(self) -> None:
        """Push the button: the machine starts over, the disks keep their power."""
        self.qmp("system_reset")

    def wait_for_end(self) -> None:
        """Until it was switched off."""
        self._qemu.wait()

    def power_off(self) -> None:
        """The power goes now, for disks and machine alike; again is nothing."""
        for disk in self._disks:
            disk.power_off()
        self._qemu.kill()
        self._qemu.wait()
        if self._channel:
            self._channel.close()
        self._opened.close()

    @property
    def up_s(self) -> float:
        """Seconds since the power is on."""
        return time.monotonic() - self.began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()

    def _devices(self, terminal: bool) -> list[str | Path]:
        """What every board has beside its disks; 10.0.2.2 is this machine's loopback there."""
        console = f"file,id=console,path={self._console},append=on"
        if terminal:
            console = f"stdio,id=console,mux=on,signal=off,logfile={self._console},logappend=on"
        return [
            "-nodefaults", "-display", "none", "-chardev", console, "-serial", "chardev:console",
            *(("-mon", "chardev=console") if terminal else ()),
            "-qmp", f"unix:{self._sockets / 'qmp'},server=on,wait=off",
            "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=driver,path={self._sockets / 'driver'},server=on,wait=off",
            "-device", f"virtserialport,chardev=driver,name={driver.PORT}",
        ]  # fmt: skip

    def _drive(self, name: str, disk: Disk | None, opened: ExitStack) -> str:
        if disk is None:
            return f"if=none,id={name},driver=null-co,read-zeroes=on,size={EMPTY}"
        disk.power_on()
        path = self._sockets / name
        opened.enter_context(nbd.serving(disk, path))
        return f"if=none,id={name},file=nbd+unix:///?socket={path},format=raw"

    def _connect(self, name: str) -> socket.socket:
        until = time.monotonic() + 10
        while True:
            channel = socket.socket(socket.AF_UNIX)
            try:
                channel.connect(str(self._sockets / name))
                return channel
            except OSError:
                channel.close()
                if self._qemu.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(_POLL_S)

    def _tail(self, what: str) -> str:
        """With what QEMU and the console said last."""
        said = (path.read_text(errors="replace")[-_TAIL:] for path in (self._log, self._console))
        return "\n".join([what, *said])
