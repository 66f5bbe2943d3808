"""The real SWUpdate on a device of a `World`: the same slots, under the device names of the board.

It runs in namespaces of its own: a private /dev, in which the board's devices are the world's slot files (so
no package can reach a device of this machine), and private process ids, so that whatever it forked ends with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.tests.world import World

BOOKWORM: Final = "swupdate-2022.12"
BACKPORTS: Final = "swupdate-2024.12"
VERSIONS: Final = (BOOKWORM, BACKPORTS)

TIMEOUT_S: Final = 30

_STARTED: Final = "Software Update started !"
_INSTALLED: Final = "SWUPDATE successful !"
_FAILED: Final = "Image invalid or corrupted. Not installing"

# Arguments: the private /dev, the slots' files, the command.
_SCRIPT: Final = """
set -e
mount -t tmpfs none "$1"
for name in null zero random urandom; do : > "$1/$name"; mount --bind "/dev/$name" "$1/$name"; done
ln -s "$2" "$1/mmcblk0p2"
ln -s "$3" "$1/mmcblk0p3"
mount --rbind "$1" /dev
shift 3
exec "$@"
"""

_CONFIG: Final = """
globals: {{ verbose = true; loglevel = 5; }};
delta: {{ cafile = "{ca}"; nocheckcert = false; retry = 1; retrywait = 1; }};
"""


@dataclass(frozen=True, slots=True)
class Run:
    """How a stock SWUpdate that began to install ended."""

    installed: bool
    log: str


def install(world: World, program: str, package: Path, *, trust: Path | None = None) -> Run:
    """Install a package into slot b with a real `swupdate`.

    Raises:
        AssertionError: it did not begin to install, or ended without saying how.
    """
    folder = world.folder / "stock"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("dev", "tmp"):
        (folder / name).mkdir(parents=True)
    config = folder / "swupdate.cfg"
    config.write_text(_CONFIG.format(ca=world.server.ca))
    swupdate = [world.tool(program), "-f", config, "-k", trust or world.certificate, "-H", "demo:1.0"]
    swupdate += ["-e", "stable,copy-b", "-M", "-m", "-i", package]
    done = subprocess.run(
        [*_namespaces(), "sh", "-c", _SCRIPT, "sh", folder / "dev", world.slot_a, world.slot_b, *swupdate],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder / "tmp"), "LC_ALL": "C"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
    )
    log = done.stdout.decode(errors="replace")
    (folder / "log").write_text(log)
    return Run(done.returncode == 0, log)


def _namespaces() -> Sequence[str]:
    user = ["--user", "--map-root-user"] if os.geteuid() else []
    return ["unshare", *user, "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
