"""A guest's root file system from Debian's packages, as small as it gets: without agent, kernel, settings.

Only programs that are named here stay, and what they load. Python's library is there as byte code alone,
which costs an emulator much less time; it is never checked against sources.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import artefacts
import debian
import toolchain

# systemd and udev on the one; on the other busybox is init, and the boot environment is U-Boot's.
_PACKAGES: Final = {"amd64": ("systemd-sysv", "udev"), "arm64": ("libubootenv-tool",)}
_PACKAGES_OF_ALL: Final = (
    "busybox-static", "libssl3", "libzck1", "librsync2", "python3-minimal", "python3-cffi-backend",
    "python3-libconf", "python3-lz4", "python3-requests", "python3-zstandard", "util-linux",
)  # fmt: skip
_PROGRAMS: Final = {
    "amd64": ("systemd", "systemctl", "systemd-tmpfiles", "journalctl", "udevadm",
              "init", "halt", "poweroff", "reboot", "shutdown"),
    "arm64": ("fw_printenv", "fw_setenv"),
}  # fmt: skip
_PROGRAMS_OF_ALL: Final = ("blkid", "busybox", "python3", "python3.11")
_LOADED: Final = (
    "libcrypto.so.3",
    "libgcc_s.so.1",
    "librsync.so.2",
    "libzck.so.1",
)  # by Python and our agent

_UNUSED: Final = (
    "boot", "dev/*", "etc/*", "usr/games", "usr/include", "usr/local", "usr/share/*", "var/*",
    "usr/lib/*/gconv", "usr/lib/*/perl*", "usr/lib/*/security", "usr/lib/apt", "usr/lib/dpkg",
    "usr/lib/environment.d", "usr/lib/init", "usr/lib/kernel", "usr/lib/locale", "usr/lib/modprobe.d",
    "usr/lib/modules-load.d", "usr/lib/pcrlock.d", "usr/lib/ssl", "usr/lib/sysusers.d",
    "usr/lib/systemd/catalog", "usr/lib/systemd/network", "usr/lib/systemd/system-generators",
    "usr/lib/systemd/systemd-cryptsetup", "usr/lib/systemd/systemd-fsck*", "usr/lib/systemd/systemd-homed",
    "usr/lib/systemd/systemd-hostnamed", "usr/lib/systemd/systemd-localed",
    "usr/lib/systemd/systemd-logind", "usr/lib/systemd/systemd-measure", "usr/lib/systemd/systemd-networkd*",
    "usr/lib/systemd/systemd-timedated", "usr/lib/systemd/system/*.wants", "usr/lib/systemd/user*",
    "usr/lib/udev/hwdb*", "usr/lib/udev/rules.d/60-persistent-*", "usr/lib/udev/rules.d/7*",
    "usr/lib/python3", "usr/lib/python3.11/**/__pycache__",
    *(f"usr/lib/python3.11/{name}" for name in (
        "_pydecimal.py", "config-*", "ctypes/test", "curses", "dbm", "distutils", "idlelib", "lib2to3",
        "asyncio", "pydoc*", "sitecustomize.py", "sqlite3", "test", "turtle*", "unittest", "venv",
        "wsgiref", "xmlrpc",
        "encodings/big5*", "encodings/cp[1-9]*", "encodings/euc*", "encodings/gb*", "encodings/iso2022*",
        "encodings/iso8859_?[0-9]*", "encodings/johab*", "encodings/mac_*", "encodings/shift*",
        "lib-dynload/_codecs_*", "lib-dynload/_curses*", "lib-dynload/_dbm*", "lib-dynload/_decimal*",
        "lib-dynload/_sqlite3*", "lib-dynload/_test*", "lib-dynload/_xx*", "lib-dynload/audioop*",
        "lib-dynload/nis*", "lib-dynload/readline*",
    )),
)  # fmt: skip
_MODULES: Final = ("_cffi_backend*", "certifi", "chardet", "idna", "libconf*", "lz4", "requests", "six*",
                   "urllib3", "zstandard")  # fmt: skip


def rootfs(architecture: str, packages: Sequence[str] = (), programs: Sequence[str] = ()) -> Path:
    """The folder; nobody may write there.

    Args:
        architecture: Debian's word.
        packages: whatever else is unpacked,
        programs: and which of their programs stay.
    """
    return artefacts.made(
        f"rootfs-{architecture}", lambda path: _make(path, architecture, packages, programs),
        architecture, *packages, "programs", *programs, toolchain.toolchain(),
    )  # fmt: skip


def _make(path: Path, architecture: str, packages: Sequence[str], programs: Sequence[str]) -> None:
    with toolchain.workshop() as folder:
        tree = folder / "tree"
        debian.unpack(
            tree, [*_PACKAGES_OF_ALL, *_PACKAGES[architecture], *packages], architectures=[architecture]
        )
        modules = folder / "dist-packages"
        (tree / "usr" / "lib" / "python3" / "dist-packages").rename(modules)
        _remove(tree, _UNUSED)
        _keep_modules(modules, tree / "usr" / "lib" / "python3" / "dist-packages")
        _keep_programs(tree, {*_PROGRAMS_OF_ALL, *_PROGRAMS[architecture], *programs})
        _keep_libraries(tree)
        _link_applets(tree)
        compile_python(tree, "usr/lib/python3.11", "usr/lib/python3", sources=False)
        tree.rename(path)


def compile_python(tree: Path, *folders: str, sources: bool) -> None:
    """Makes byte code of the guest's Python; `tree` lies in a workshop. Sources stay beside it, or go."""
    root = f"/{tree.relative_to(toolchain.toolchain())}"
    options = f"-q --invalidation-mode unchecked-hash -s {root} -p / {'' if sources else '-b'}"
    toolchain.execute(f"python3 -m compileall {options} {' '.join(folders)}", tree)
    if not sources:
        for folder in folders:
            for source in (tree / folder).rglob("*.py"):
                source.unlink()


def _remove(tree: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for path in list(tree.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _keep_modules(installed: Path, kept: Path) -> None:
    kept.mkdir(parents=True)
    for pattern in _MODULES:
        for path in installed.glob(pattern):
            path.rename(kept / path.name)
    _remove(kept, ("**/__pycache__", "certifi/cacert.pem", "zstandard/*_cffi*"))


def _keep_programs(tree: Path, names: set[str]) -> None:
    for folder in ("usr/bin", "usr/sbin"):
        for path in (tree / folder).iterdir():
            if path.name not in names:
                path.unlink()


def _keep_libraries(tree: Path) -> None:
    """Removes every library that no program, no Python module and no other library needs."""
    (folder,) = (tree / "usr" / "lib").glob("*-linux-gnu")
    libraries = {path.name: path.resolve() for path in folder.rglob("*.so*") if path.exists()}
    needs = dict(_needs(tree))
    kept: set[Path] = set()
    wanted = [path for path in needs if path not in libraries.values()]
    wanted += [libraries[name] for name in _LOADED]
    wanted += [path for name, path in libraries.items() if name.startswith("ld-linux")]
    while wanted:
        path = wanted.pop()
        if path not in kept:
            kept.add(path)
            wanted += [libraries[name] for name in needs.get(path, []) if name in libraries]
    for path in list(folder.rglob("*.so*")):
        if not path.exists() or path.resolve() not in kept:
            path.unlink()


def _needs(tree: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every ELF file, and the names of the libraries that it is linked with."""
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    elf = [path for path in files if _begins(path) == b"\x7fELF"]
    inside = "\n".join(f"/{path.relative_to(toolchain.toolchain())}" for path in elf)
    (tree.parent / "elf").write_text(inside)
    said = toolchain.execute("xargs -d '\\n' readelf -d < elf", tree.parent)
    for file, part in zip(elf, re.split(r"^File: .*$", said, flags=re.MULTILINE)[1:], strict=True):
        yield file, re.findall(r"\(NEEDED\).*\[(.*)\]", part)


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _link_applets(tree: Path) -> None:
    """Busybox is every program that nobody else is."""
    busybox = toolchain.toolchain() / "usr" / "bin" / "busybox"
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        taken = [(tree / folder / applet) for folder in ("usr/bin", "usr/sbin")]
        if not any(path.is_symlink() or path.exists() for path in taken):
            taken[0].symlink_to("busybox")
