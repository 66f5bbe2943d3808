"""The real SWUpdate on the device of a `World`: same slots, under the names that the board gives them.

It runs in namespaces of its own. In its /dev there are the world's slot files and nothing that a package
could harm, its sockets lie in a folder of its own, and what it forked ends when it ends.

What Debian's two versions need: a certificate (`-k`), board and revision (`-H`), for a `delta` over TLS the
server's authority in a configuration file, and nothing of /etc. They keep no boot environment (`none`), so
`-M -m` and what they would set is only in their log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
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
_INSTALLED: Final = "SWUpdate was successful !"
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

# `globals` has to be there. Without a section `delta`, 2024.12 takes any server's certificate; with one and without `nocheckcert` it
# reads memory that was never set.
_CONFIG: Final = """\
globals: {{ }};
delta: {{ cafile = "{ca}"; nocheckcert = false; retry = 1; retrywait = 1; }};
"""


@dataclass(frozen=True, slots=True)
class Run:
    """How a stock SWUpdate that began to install ended, in its own words."""

    installed: bool
    log: str


def install(world: World, program: str, package: Path, *, trust: Path | None = None) -> Run:
    """Install a package into slot b with the real `swupdate`.

    Args:
        trust: certificates instead of the world's.

    Raises:
        AssertionError: it did not begin to install, or did not end the way it says.
        subprocess.TimeoutExpired: it did not end.
    """
    folder = world.folder / "stock"
    shutil.rmtree(folder, ignore_errors=True)
    _make_dev(folder / "dev", world)
    (folder / "tmp").mkdir()
    (folder / "swupdate.cfg").write_text(_CONFIG.format(ca=world.server.ca))
    swupdate = [world.tool(program), "-v", "-f", folder / "swupdate.cfg", "-k", trust or world.certificate]
    swupdate += ["-H", "demo:1.0", "-e", "stable,copy-b", "-M", "-m", "-i", package]
    with (folder / "log").open("wb") as log:
        ended = subprocess.run(
            [*_unshare(), "sh", "-c", _SCRIPT, "sh", folder / "dev", *swupdate],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(folder / "tmp")},
            cwd=folder,
            timeout=TIMEOUT_S,
        )
    return _judge(program, ended.returncode, (folder / "log").read_text(errors="replace"))


def _judge(program: str, status: int, log: str) -> Run:
    assert _STARTED in log, f"{program} did not begin to install (exit status {status}):\n{log}"
    installed, refused = _INSTALLED in log, _REFUSED in log
    assert installed != refused, f"{program} did not say how it ended (exit status {status}):\n{log}"
    # 2022.12 now and then exits with 1 after it installed: its post-update message is not answered in time.
    expected = {0, 1} if installed and program == BOOKWORM else {0} if installed else {1}
    assert status in expected, f"{program}: exit status {status}:\n{log}"
    return Run(installed, log)


def _make_dev(folder: Path, world: World) -> None:
    folder.mkdir(parents=True)
    for node in _NODES:
        (folder / node).touch()
    slots = {"a": world.slot_a, "b": world.slot_b}
    for slot in board.load("demo", world.folder).slots:
        (folder / Path(slot.device).name).symlink_to(slots[slot.name])


def _unshare() -> list[str]:
    """Whoever is not root becomes root in a user namespace, to be allowed the others."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--ipc", "--pid", "--fork", "--kill-child"]
