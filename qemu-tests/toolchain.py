"""Compilers for both architectures, with the headers and libraries of the guests' own release.

It is a chroot of unpacked packages. Whoever compiles does so in a folder of its own in it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import artefacts
import debian

PREFIX: Final = {"amd64": "x86_64-linux-gnu-", "arm64": "aarch64-linux-gnu-"}  # of the programs' names

_PROGRAMS: Final = (
    "gcc", "libc6-dev", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "make", "bison", "flex", "bc",
    "python3-setuptools", "python3-wheel", "python3-cffi", "grub-pc-bin", "bash", "busybox-static", "bzip2",
    "coreutils", "dash", "diffutils", "findutils", "grep", "gzip", "hostname", "mawk", "perl-base", "sed",
    "tar", "xxd", "xz-utils",
)  # fmt: skip
_LIBRARIES: Final = ("libpython3-dev", "libarchive-dev", "librsync-dev", "libssl-dev", "libzck-dev")
# What maintainer scripts would have done.
_LINKS: Final = {"usr/bin/awk": "mawk", "usr/bin/cc": "gcc", "usr/bin/yacc": "bison.yacc"}


def toolchain() -> Path:
    """The chroot's folder."""
    return artefacts.made("toolchain", _make)


@contextmanager
def workshop() -> Iterator[Path]:
    """An empty folder in the chroot, for as long as something is made in it."""
    with tempfile.TemporaryDirectory(dir=toolchain() / "tmp") as folder:
        yield Path(folder)


def execute(script: str, folder: Path, **variables: str) -> str:
    """Runs lines of shell in a folder of the chroot, and gives back what they printed."""
    inside = folder.relative_to(toolchain())
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"} | variables
    words = [f"{name}={value}" for name, value in environment.items()]
    return artefacts.run("env", *words, "chroot", toolchain(), "/bin/sh", "-euc", f"cd /{inside}\n{script}")


def _make(folder: Path) -> None:
    libraries = [f"{name}:{architecture}" for name in _LIBRARIES for architecture in PREFIX]
    debian.unpack(folder, [*_PROGRAMS, *libraries], architectures=list(PREFIX))
    for path, target in _LINKS.items():
        (folder / path).symlink_to(target)
