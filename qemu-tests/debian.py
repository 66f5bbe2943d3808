"""Debian's packages, unpacked into a folder with all they depend on, whatever the architecture.

No script of a package runs, so no emulation is needed for another architecture, and the folder can be a
chroot, a root file system, or a place to pick files from. The machine's packages and their sources stay as
they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import artefacts

RELEASE: Final = "bookworm"  # of the guests, and of what is compiled for them


def unpack(
    folder: Path,
    packages: Sequence[str],
    *,
    architectures: Sequence[str] = ("amd64",),
    suites: Sequence[str] = (RELEASE,),
    preferences: str = "",
) -> None:
    """Unpacks packages into a new folder; /bin, /lib and /sbin are links into /usr there.

    Args:
        folder: is made.
        packages: names, or apt's patterns.
        architectures: the first is that of names without one (`gcc`, `libc6:arm64`).
        suites: where packages come from.
        preferences: what apt prefers, in the words of apt_preferences(5).
    """
    archive = artefacts.ROOT / "bench" / "tools" / "archive.py"
    sources = folder.with_name(f"{folder.name}.list")
    sources.write_text(artefacts.run(sys.executable, archive, *suites))
    pins = folder.with_name(f"{folder.name}.preferences")
    pins.write_text(preferences)
    artefacts.run(
        artefacts.tool("mmdebstrap"),
        "--variant=extract",
        "--format=directory",
        f"--architectures={','.join(architectures)}",
        f"--include={','.join(packages)}",
        '--aptopt=Apt::Install-Recommends "false"',
        f'--aptopt=Dir::Etc::Preferences "{pins}"',
        f"--setup-hook={_MERGED}",
        suites[0],
        folder,
        sources,
    )  # fmt: skip
    sources.unlink()
    pins.unlink()


# Whatever a package calls /lib/... lies under /usr, as on every machine that was installed since Debian 12.
_MERGED: Final = 'for d in bin lib lib64 sbin; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done'


def download_source(folder: Path, package: str, suite: str) -> Path:
    """Downloads the tarballs of a source package into a folder, as the suite's signed index has them."""
    archive = artefacts.ROOT / "bench" / "tools" / "archive.py"
    state = folder / "apt"
    (state / "lists" / "partial").mkdir(parents=True)
    sources = state / "sources.list"
    sources.write_text(artefacts.run(sys.executable, archive, suite).replace("deb ", "deb-src ", 1))
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::Status": "/dev/null",
        "Dir::Cache": state,
        "APT::Sandbox::User": "root",  # another user could not enter a private folder
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
    }
    apt_get = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    artefacts.run(*apt_get, "update")
    artefacts.run(
        *apt_get, "source", "--download-only", "--only-source", "--tar-only", package, folder=folder
    )
    return folder
