"""QEMU with an eMMC that can be had on any machine: from 10.2 on, which Debian has as a backport.

It runs from a folder, with its own libraries, so it is the same on every host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import artefacts
import debian

PROGRAMS: Final = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}

QEMU_IO: Final = "qemu-io"
EMULATED: Final = ("-accel", "tcg,thread=multi,tb-size=256")  # works everywhere

_SUITES: Final = ("trixie", "trixie-backports")
_PACKAGES: Final = ("qemu-system-x86", "qemu-system-arm", "seabios", "qemu-utils")
_PREFERENCES: Final = """\
Package: src:qemu src:seabios src:ipxe src:edk2 src:libslirp
Pin: release n=trixie-backports
Pin-Priority: 900
"""
# Half of what the packages hold.
_UNUSED: Final = (
    "usr/bin/qemu-system-arm", "usr/bin/qemu-system-i386", "usr/bin/qemu-system-x86_64-microvm",
    "usr/share/doc", "usr/share/locale", "usr/share/man", "var",
)  # fmt: skip

# Through its own dynamic linker, not LD_LIBRARY_PATH, which would reach programs that it starts.
_WRAPPER: Final = """\
#!/bin/sh
root=${0%/*}
libraries=$root/usr/lib/x86_64-linux-gnu
case $0 in
*/qemu-system-*)
    set -- -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu" "$@" ;;
esac
QEMU_MODULE_DIR=$libraries/qemu exec "$libraries/ld-linux-x86-64.so.2" \\
    --library-path "$libraries:$libraries/systemd" "$root/usr/bin/${0##*/}" "$@"
"""


def emulator(architecture: str) -> Path:
    """The program that emulates machines of an architecture, by Debian's name of it."""
    return artefacts.made("qemu", _make) / PROGRAMS[architecture]


def qemu_io() -> Path:
    """QEMU's own client of disks."""
    return artefacts.made("qemu", _make) / QEMU_IO


def _make(folder: Path) -> None:
    debian.unpack(folder, _PACKAGES, suites=_SUITES, preferences=_PREFERENCES)
    for name in _UNUSED:
        artefacts.run("rm", "-rf", folder / name)
    for program in (*PROGRAMS.values(), QEMU_IO):
        wrapper = folder / program
        wrapper.write_text(_WRAPPER)
        wrapper.chmod(0o755)
        artefacts.run(wrapper, "--version")
