"""Stock SWUpdate, as an integrator runs it: installs a package into slot b of a lab's device."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import lab
from lab import Lab, Run

STOCK: Final = "swupdate-2024.12"

_CONFIG: Final = (
    'globals: {{ }};\ndelta: {{ cafile = "{ca}"; nocheckcert = false; retry = 1; retrywait = 1; }};\n'
)


def install(device: Lab, package: Path) -> Run:
    """Ends this program where it fails."""
    folder = device.folder / "stock"
    folder.mkdir(exist_ok=True)
    (folder / "swupdate.cfg").write_text(_CONFIG.format(ca=device.server.ca))
    os.environ["TMPDIR"] = str(folder)  # its sockets
    # The first process of its own namespace: what it forked ends with it and is counted with it.
    words = ["unshare", "--pid", "--fork", "--kill-child", lab.tool(STOCK), "-l", "3"]
    words += ["-f", folder / "swupdate.cfg", "-k", device.folder / "keys/dev.pem", "-H", "demo:1.0"]
    done = lab.run(*words, "-e", "stable,copy-b", "-M", "-m", "-i", package)
    if done.status:
        sys.exit(f"{STOCK} failed:\n{done.output}{done.errors}")
    return done
