"""Debian's kernel for an architecture, and those of its modules that boards need."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import artefacts
import debian

# In order: what the root file system lies on, then the other devices of the machine.
MODULES: Final = (
    "sdhci-pci", "mmc_block", "squashfs",
    "ext4", "crc32c_generic", "loop",
    "virtio_pci", "virtio_net", "virtio_console", "virtio_blk", "virtio-rng", "i6300esb",
)  # fmt: skip
USB: Final = ("xhci-pci", "usb-storage", "sd_mod", "vfat", "nls_cp437", "nls_ascii")  # sticks


def kernel(architecture: str) -> Path:
    """The kernel as boot loaders take it: Linux/x86's own format, or for arm64 an `Image`, gzipped."""
    return _kernel(architecture) / "vmlinuz"


def modules(architecture: str, names: Iterable[str] = MODULES) -> list[Path]:
    """The files of modules and all they depend on, in an order to load them in; built-in ones have none.

    Raises:
        KeyError: the kernel has no such module, or it is none of those above.
    """
    folder = _kernel(architecture)
    files = {_name(path): path for path in (folder / "modules").iterdir()}
    return _closure(files, _builtin(folder), names)


def _kernel(architecture: str) -> Path:
    return artefacts.made(f"kernel-{architecture}", lambda folder: _make(folder, architecture), architecture)


def _make(folder: Path, architecture: str) -> None:
    tree = folder.with_name("tree")
    debian.unpack(tree, [f"linux-image-{architecture}"], architectures=[architecture])
    (folder / "modules").mkdir(parents=True)
    (image,) = (tree / "boot").glob("vmlinuz-*")
    (release,) = (tree / "usr" / "lib" / "modules").iterdir()
    content = image.read_bytes()
    if architecture == "arm64":  # where x86 has a kernel that unpacks itself
        content = gzip.compress(content, mtime=0)
    (folder / "vmlinuz").write_bytes(content)
    shutil.copy(release / "modules.builtin", folder)
    files = {_name(path): path for path in release.rglob("*.ko")}
    for path in _closure(files, _builtin(folder), (*MODULES, *USB)):
        shutil.copy(path, folder / "modules")


def _closure(files: dict[str, Path], builtin: set[str], names: Iterable[str]) -> list[Path]:
    order: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in builtin or name in order:
            return
        for needed in _depends(files[name]):
            add(needed)
        order[name] = files[name]

    for name in names:
        add(_underscored(name))
    return list(order.values())


def _depends(module: Path) -> list[str]:
    """What the module's section .modinfo says; depmod(8) only gathers it."""
    found = re.search(rb"\0depends=([^\0]*)\0", module.read_bytes())
    return [_underscored(name) for name in found[1].decode().split(",") if name] if found else []


def _builtin(folder: Path) -> set[str]:
    return {_name(Path(line)) for line in (folder / "modules.builtin").read_text().splitlines()}


def _name(path: Path) -> str:
    return _underscored(path.name.removesuffix(".ko"))


def _underscored(name: str) -> str:
    """Modules are asked for with either sign."""
    return name.replace("-", "_")
