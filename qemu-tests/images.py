"""What lies in a slot: releases of a system, good ones and bad ones, as squashfs images.

A boot loader finds kernel and initramfs in the image's own /boot, so a release is one file.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import artefacts
import emulation
import initramfs
import kernel
import rootfs
import toolchain
import trust
import wheel
from emulation import Emulation

GUEST: Final = Path(__file__).with_name("guest")
TIME: Final = "1735689600"  # seconds since 1970: of every file in an image

_PACKAGES: Final = "usr/lib/python3/dist-packages"
_FOLDERS: Final = (
    "bootfs",
    "data",
    "dev",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/lib/otakit",
    "var",
)
_OTA: Final = "#!/usr/bin/python3 -I\nimport sys\nfrom ota.cli import main\nsys.exit(main())\n"
# What has `ota boot` run: a unit of systemd, or a script that /etc/init.d/rcS runs.
_AT_BOOT: Final = {
    "amd64": ("otakit-boot.service", "usr/lib/systemd/system/otakit-boot.service"),
    "arm64": ("otakit", "etc/init.d/otakit"),
}
_DEVICE: Final = """\
board = "{board}"
state_dir = "/data/otakit"
[boot]
reboot = ["reboot"]
[trust]
certificates = ["/etc/otakit/signer.pem"]
[network]
ca = "/etc/otakit/servers.pem"
[health]
commands = [["/bin/healthy"]]
"""
_APPLICATION: Final = 16, 1 << 17  # files and bytes of what a release changes a quarter of


class Fault(StrEnum):
    """What can be wrong with a release."""

    PANICS = "panics"  # the first program of the system ends
    HANGS_EARLY = "hangs-early"  # in the initramfs, before the watchdog is armed
    HANGS = "hangs"  # the first program does nothing; the watchdog bites
    UNHEALTHY = "unhealthy"  # /bin/healthy, a health check, fails
    NO_ROOT = "no-root"  # the root file system cannot be mounted


_HANG: Final = "#!/bin/busybox sh\necho 'otakit-test: hangs' > /dev/console\nwhile :; do sleep 1000; done\n"
_BITES_S: Final = 15  # the watchdog, where it is what a fault waits for


def slot_image(
    board: str,
    version: str,
    files: Mapping[str, bytes] | None = None,
    fault: Fault | None = None,
    *,
    packages: Sequence[str] = (),
    programs: Sequence[str] = (),
) -> Path:
    """A release, ready to be written into a slot; the same input gives the same bytes.

    Args:
        board: its name in `boards/`.
        version: "1.0.0"; what differs from one to the next is a quarter of an application.
        files: path in the image -> content, instead of or beside what is there; a program begins with "#!".
        fault: what is wrong with it.
        packages: Debian's, beside what is always there,
        programs: and which of their programs stay.
    """
    target = emulation.read(board)
    own = {**_files(target, version, fault), **(files or {})}
    digests = [f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in own.items()]
    tree, agent = rootfs.rootfs(target.architecture, packages, programs), wheel.wheel(target.architecture)
    system, start = kernel.kernel(target.architecture), _initramfs(target, tree, fault)
    modules = kernel.modules(target.architecture, (*kernel.MODULES, *kernel.USB))
    overlays = [GUEST / "all", GUEST / target.architecture]

    def make(path: Path) -> None:
        with toolchain.workshop() as folder:
            root = folder / "root"
            artefacts.run("cp", "-a", "--reflink=auto", tree, root)
            for name in _FOLDERS:
                (root / name).mkdir(parents=True, exist_ok=True)
            for overlay in overlays:
                shutil.copytree(overlay, root, symlinks=True, dirs_exist_ok=True)
            _install(agent, root, target.architecture)
            _add(root, "boot/vmlinuz", system.read_bytes())
            _add(root, "boot/initrd.img", start.read_bytes())
            for module in modules:
                _add(root, f"usr/lib/modules/{module.name}", module.read_bytes())
            for name, content in own.items():
                _add(root, name, content)
            _squash(root, path)

    return artefacts.made(
        f"{board}-{version}{f'-{fault}' if fault else ''}", make,
        tree, agent, system, start, *(str(module) for module in modules), *digests, *_contents(overlays),
    )  # fmt: skip


def _files(target: Emulation, version: str, fault: Fault | None) -> dict[str, bytes]:
    keys = trust.trust()
    files = {
        "bin/healthy": f"#!/bin/sh\nexit {int(fault is Fault.UNHEALTHY)}\n".encode(),
        "etc/hwrevision": f"{target.board} 1.0\n".encode(),
        "etc/os-release": f'ID=otakit-test\nNAME="otakit test"\nVERSION_ID={version}\n'.encode(),
        "etc/sw-versions": f"rootfs {version}\n".encode(),
        "etc/otakit/device.toml": _DEVICE.format(board=target.board).encode(),
        "etc/otakit/signer.pem": (keys / trust.SIGNER).read_bytes(),
        "etc/otakit/servers.pem": (keys / trust.SERVERS).read_bytes(),
        **dict(_orders(target.architecture)),
        "usr/lib/otakit/driver.py": (GUEST / "driver.py").read_bytes(),
    }
    files |= dict(_application(version))
    if fault is Fault.PANICS:
        files["sbin/init"] = b"#!/bin/sh\nexit 1\n"
    if fault is Fault.HANGS:
        files["sbin/init"] = _HANG.encode()
    return files


def _application(version: str) -> Iterator[tuple[str, bytes]]:
    """Files of which each version changes every fourth: that many have the version's number as their age."""
    count, size = _APPLICATION
    major = int(version.split(".")[0])
    for number in range(count):
        age = major - (major - number) % 4
        yield f"usr/lib/application/{number:02}", random.Random(f"{number} {age}").randbytes(size)


def _orders(architecture: str) -> Iterator[tuple[str, bytes]]:
    """What the initramfs loads from the root file system, always and where there is USB."""
    loaded = kernel.modules(architecture, initramfs.MODULES)
    for name, wanted in (("order", kernel.MODULES), ("usb", kernel.USB)):
        new = [module for module in kernel.modules(architecture, wanted) if module not in loaded]
        yield f"usr/lib/modules/{name}", initramfs.ordered(new).encode()
        loaded += new


def _initramfs(target: Emulation, tree: Path, fault: Fault | None) -> Path:
    busybox = tree / "usr" / "bin" / "busybox"
    match fault:
        case Fault.HANGS_EARLY:
            return initramfs.initramfs(target.architecture, busybox, script=_HANG, modules=())
        case Fault.NO_ROOT:
            modules = [name for name in initramfs.MODULES if name != "squashfs"]
            return initramfs.initramfs(target.architecture, busybox, modules=modules)
        case Fault.HANGS:
            return initramfs.initramfs(target.architecture, busybox, watchdog_s=_BITES_S)
    return initramfs.initramfs(target.architecture, busybox)


def _install(agent: Path, root: Path, architecture: str) -> None:
    """As pip would, but for RECORD."""
    with zipfile.ZipFile(agent) as archive:
        archive.extractall(root / _PACKAGES)
    _add(root, "bin/ota", _OTA.encode())
    name, place = _AT_BOOT[architecture]
    _add(root, place, (root / _PACKAGES / "ota" / "system" / name).read_bytes())
    folders = [f"{_PACKAGES}/{name}" for name in ("boards", "handlers", "ota")]
    shutil.rmtree(root / _PACKAGES / "packager")  # no device builds
    rootfs.compile_python(root, *folders, sources=True)


def _add(root: Path, name: str, content: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(0o755 if content.startswith(b"#!") else 0o644)


def _squash(root: Path, path: Path) -> None:
    """Both boot loaders read zlib in blocks of 128 KiB."""
    artefacts.run(
        artefacts.tool("mksquashfs"), root, path, "-noappend", "-quiet", "-no-progress", "-all-root",
        "-no-xattrs",
        "-comp", "gzip", "-b", "128K", "-processors", "2", "-mkfs-time", TIME, "-all-time", TIME,
    )  # fmt: skip


def _contents(folders: list[Path]) -> Iterator[str]:
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.is_symlink():
            yield f"{path.relative_to(GUEST)} -> {path.readlink()}"
        elif path.is_file():
            yield f"{path.relative_to(GUEST)} {path.read_text()}"
