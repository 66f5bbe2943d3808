"""The real SWUpdate for a guest: Debian's, as an image that is mounted and entered.

    mount -o loop stock.squashfs /mnt; for each folder of FROM_GUEST: mount --bind /NAME /mnt/NAME
    chroot /mnt swupdate ...

It brings its own libraries, libubootenv among them; its /etc/fw_env.config is the guest's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import artefacts
import debian

FROM_GUEST: Final = ("dev", "etc", "proc", "run", "tmp")

_SUITES: Final = ("bookworm", "bookworm-backports")  # 2024.12: bookworm's own is built without libubootenv
_PACKAGES: Final = ("swupdate", "libubootenv0.1")  # which it loads at run time
_PREFERENCES: Final = """\
Package: src:swupdate src:libubootenv
Pin: release n=bookworm-backports
Pin-Priority: 900
"""
_UNUSED: Final = ("usr/lib/*/gconv", "usr/lib/*/perl*", "usr/lib/systemd", "usr/lib/udev", "usr/share", "var")


def image(architecture: str) -> Path:
    """A squashfs image."""
    return artefacts.made(f"stock-{architecture}", lambda path: _make(path, architecture), architecture)


def _make(path: Path, architecture: str) -> None:
    tree = path.with_name("tree")
    debian.unpack(tree, _PACKAGES, architectures=[architecture], suites=_SUITES, preferences=_PREFERENCES)
    for pattern in _UNUSED:
        for found in tree.glob(pattern):
            artefacts.run("rm", "-rf", found)
    for name in FROM_GUEST:
        (tree / name).mkdir(exist_ok=True)
    options = ("-quiet", "-no-progress", "-all-root", "-comp", "gzip")
    artefacts.run(artefacts.tool("mksquashfs"), tree, path, *options)
