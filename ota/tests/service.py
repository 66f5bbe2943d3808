"""`ota serve` in a process of its own, and those that talk to it: SWUpdate's own tools, and raw sockets."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.service import messages
from ota.service.messages import Type
from ota.tests.world import World

TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Said:
    """How a tool ended, and what it wrote."""

    status: int
    text: str


class Service:
    """A running `ota serve`, whose sockets are in `folder`."""

    def __init__(self, world: World, process: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
        self.world = world
        self.process = process
        self.folder = folder
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def tool(self, name: str, *arguments: str | Path, fed: bytes | None = None) -> Said:
        """Run one of SWUpdate's tools to its end."""
        done = subprocess.run(
            [self.world.tool(name), *arguments],
            input=fed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            timeout=TIMEOUT_S,
        )
        return Said(done.returncode, done.stdout.decode())

    def client(self, *arguments: str | Path) -> Said:
        return self.tool("swupdate-client", "-v", *arguments)

    @contextlib.contextmanager
    def watched(self, name: str = "swupdate-progress") -> Iterator[Callable[[str], str]]:
        """A tool that watches; it answers what it wrote, once that contains a text."""
        screen, its = pty.openpty()  # elsewhere it would keep back what it writes
        command = [self.world.tool(name)]
        process = subprocess.Popen(command, stdout=its, stderr=its, env=self._environment())
        os.close(its)
        shown = b""

        def wrote(text: str) -> str:
            nonlocal shown
            while text.encode() not in shown:
                assert select.select([screen], [], [], TIMEOUT_S)[0], shown.decode()
                shown += os.read(screen, 65536)
            return shown.decode()

        try:
            until(lambda: has_socket(process.pid))
            yield wrote
        finally:
            process.terminate()
            process.wait()
            os.close(screen)

    def connect(self, name: str = "sockinstctrl") -> socket.socket:
        return connect(self.folder / name)

    def ask(self, kind: Type, data: bytes = b"") -> tuple[Type | None, bytes]:
        """One question on the control socket: the answer's type, and its data."""
        with self.connect() as asking:
            asking.sendall(message(kind, data))
            return answer(asking)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def number(self, key: str) -> int:
        """Of /proc/PID/status: Threads, or VmRSS in KiB."""
        match = re.search(
            rf"^{key}:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE
        )
        assert match
        return int(match[1])

    def is_idle(self) -> bool:
        _, data = self.ask(Type.GET_STATUS)
        return not int.from_bytes(data[:4], sys.byteorder)

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "TMPDIR": str(self.folder)}


@contextlib.contextmanager
def serving(world: World, **configured: str) -> Iterator[Service]:
    """Start it, with further lines of device.toml, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=world.folder))
    world.write_config(service=f'service.folder = "{folder.name}"', **configured)
    with start(world, folder) as service:
        yield service


# What systemd does: sockets are the descriptors from 3 on, and variables say so to the process.
_ACTIVATE: Final = """
import fcntl, os, sys
high = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 100) for word in sys.argv[1:3]]
for number, descriptor in enumerate(high, 3):
    os.dup2(descriptor, number)
environment = {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high))}
os.execve(sys.argv[3], sys.argv[3:], environment)
"""


@contextlib.contextmanager
def start(world: World, folder: Path, activated: Sequence[socket.socket] = ()) -> Iterator[Service]:
    log = world.folder / "service.log"
    given = [listening.fileno() for listening in activated]
    command = [sys.executable, "-m", "ota.cli", "--config", str(world.folder / "device.toml"), "serve"]
    if given:
        command = [sys.executable, "-c", _ACTIVATE, *map(str, given), *command]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, pass_fds=given)
    service = Service(world, process, folder, log)
    try:
        until(lambda: process.poll() is not None or answers(folder))
        yield service
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_S)
        finally:
            process.kill()


def has_socket(pid: int) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            if str(link.readlink()).startswith("socket:"):
                return True
    return False


def answers(folder: Path) -> bool:
    with contextlib.suppress(OSError), connect(folder / "swupdateprog"):
        return True
    return False


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT_S)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def message(kind: Type, data: bytes = b"") -> bytes:
    """As a client writes it on the control socket."""
    head = messages.MAGIC.to_bytes(4, sys.byteorder) + kind.to_bytes(4, sys.byteorder)
    return (head + data).ljust(messages.SIZE, b"\0")


def answer(asking: socket.socket) -> tuple[Type | None, bytes]:
    """The next message: its type, and its data. (None, b"") where the connection ends."""
    said = exactly(asking, messages.SIZE)
    return (messages.type_of(said), said[8:]) if said else (None, b"")


def exactly(reading: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        block = reading.recv(size - len(data))
        if not block:
            return b""
        data += block
    return data


def text_of(data: bytes) -> str:
    return data.partition(b"\0")[0].decode()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
