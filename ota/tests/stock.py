"""The real SWUpdate on the device of a `World`: same slots, under the names that the board gives them.

It has a /dev of its own, with the world's slot files and nothing that a package could harm, and a folder of
its own for its sockets. It has no process ids of its own, because it names further sockets, which the whole
machine shares, by them. What it forked ends when it ends.

Debian's two versions need a certificate (`-k`), board and revision (`-H`), for a `delta` over TLS the
server's authority in a configuration file, and nothing of /etc. They keep no boot environment (`none`, hence
`-M -m`): what they would set stands in their log.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota import board
from ota.tests.world import World

BOOKWORM: Final = "swupdate-2022.12"
BACKPORTS: Final = "swupdate-2024.12"
VERSIONS: Final = (BOOKWORM, BACKPORTS)

TIMEOUT_S: Final = 60

_STARTED: Final = "Software Update started !"
_INSTALLED: Final = "SWUPDATE successful !"
_REFUSED: Final = "SWUpdate *failed* !"

_NODES: Final = ("null", "random", "urandom")

# Arguments: the folder that becomes /dev, then the command.
_SCRIPT: Final = f"""
set -e
for node in {" ".join(_NODES)}; do mount --bind "/dev/$node" "$1/$node"; done
mount --rbind "$1" /dev
shift
exec "$@"
"""

# `globals` has to be there. 2024.12 takes any server's certificate where there is no `delta`, and decides by
# memory that was never set where `delta` has no `nocheckcert`; 2022.12 takes any whatever stands here.
_CONFIG: Final = """\
globals: {{ }};
delta: {{ cafile = "{ca}"; nocheckcert = false; retry = 1; retrywait = 1; }};
"""


@dataclass(frozen=True, slots=True)
class Run:
    """How a stock SWUpdate that began to install ended, in its own words."""

    installed: bool
    log: str


class HungError(AssertionError):
    """It had to be killed."""


class CrashedError(AssertionError):
    """It ended by a memory fault."""


def install(
    world: World,
    program: str,
    package: Path,
    *,
    trust: Path | None = None,
    authority: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Run:
    """Install a package into slot b with the real `swupdate`.

    Args:
        trust: certificates instead of the world's.
        authority: who may sign a web server's certificate, instead of the world's.

    Raises:
        HungError, CrashedError: it did not end in time, or not by itself.
        AssertionError: it did not begin to install, or did not end the way it says.
    """
    folder = world.folder / "stock"
    shutil.rmtree(folder, ignore_errors=True)
    _make_dev(folder / "dev", world)
    (folder / "tmp").mkdir()
    (folder / "swupdate.cfg").write_text(_CONFIG.format(ca=authority or world.server.ca))
    command = [*_unshare(world), "sh", "-c", _SCRIPT, "sh", folder / "dev", world.tool(program)]
    command += ["-v", "-f", folder / "swupdate.cfg", "-k", trust or world.certificate, "-H", "demo:1.0"]
    command += ["-e", "stable,copy-b", "-M", "-m", "-i"]
    if program == BOOKWORM:
        status, log = _run([*command, "/proc/self/fd/0"], folder, timeout_s, package)
    else:
        status, log = _run([*command, package], folder, timeout_s)
    if status == -signal.SIGKILL:
        raise HungError(log)
    if status == -signal.SIGSEGV:
        raise CrashedError(log)
    assert _STARTED in log, f"{program} did not begin to install (exit status {status}):\n{log}"
    ends = {0: _INSTALLED in log, 1: _REFUSED in log}
    assert ends.pop(status, False) and not any(ends.values()), f"{program} exits with {status}:\n{log}"
    return Run(status == 0, log)


def _run(
    command: Sequence[str | Path], folder: Path, timeout_s: float, fed: Path | None = None
) -> tuple[int, str]:
    """The exit status, negative where it had to be killed, and the log."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(folder / "tmp")},
            cwd=folder,
            start_new_session=True,
        )
    assert process.stdin
    deadline = threading.Timer(timeout_s, os.killpg, (process.pid, signal.SIGKILL))
    deadline.start()
    try:
        if fed:
            _feed(process, fed, log)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        deadline.cancel()
        os.killpg(process.pid, signal.SIGKILL)  # what it forked; until `wait` the group can be no other
    return process.wait(), log.read_text(errors="replace")


def _feed(process: subprocess.Popen[bytes], package: Path, log: Path) -> None:
    """Send the package, but end the stream only when the installer is awake.

    2022.12 asks its installer for the result once it has sent the last byte. If that has not yet woken up, as
    it happens with every fourth small package, it takes "idle" for success, says so, and exits with 1 in the
    middle of the installation.
    """
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(package.read_bytes())
        process.stdin.flush()
    ended = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while _STARTED not in log.read_text(errors="replace") and not os.waitid(os.P_PID, process.pid, ended):
        time.sleep(0.01)


def _make_dev(folder: Path, world: World) -> None:
    folder.mkdir(parents=True)
    for node in _NODES:
        (folder / node).touch()
    slots = {"a": world.slot_a, "b": world.slot_b}
    for slot in board.load("demo", world.folder).slots:
        (folder / Path(slot.device).name).symlink_to(slots[slot.name])


def _unshare(world: World) -> list[str | Path]:
    """Whoever is not root becomes root in a user namespace, to be allowed to mount."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [world.tool("unshare"), *user, "--mount"]
