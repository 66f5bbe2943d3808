"""A small initramfs: busybox, a script, and the modules that it takes to get at the root file system.

The archive is cpio newc (Linux: Documentation/driver-api/early-userspace/buffer-format.rst), written here
because it holds a device node and has to come out the same each time.
"""

from __future__ import annotations

import gzip
import lzma
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import artefacts
import kernel

SCRIPT: Final = Path(__file__).with_name("guest") / "initramfs"
MODULES: Final = ("i6300esb", "sdhci-pci", "mmc_block", "squashfs")
WATCHDOG_S: Final = 60  # from the initramfs until the system feeds the watchdog itself

_APPLETS: Final = ("cat", "grep", "insmod", "mount", "reboot", "sh", "sleep", "switch_root", "usleep")
_FOLDERS: Final = ("bin", "dev", "modules", "proc", "root", "sys")
_CONSOLE: Final = (5, 1)  # major and minor number


@dataclass(frozen=True, slots=True)
class Entry:
    """What an archive holds: a file, a folder, a link, or a device."""

    name: str
    mode: int  # with its type
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def initramfs(
    architecture: str,
    busybox: Path,
    *,
    script: str | None = None,
    modules: Sequence[str] = MODULES,
    watchdog_s: int = WATCHDOG_S,
) -> Path:
    """The archive, compressed: for x86 as far as possible, since its firmware reads slowly.

    Args:
        busybox: a static one.
        script: run as the first program, by busybox's shell.
        modules: loaded by the script of its own accord.
    """
    files = kernel.modules(architecture, modules)
    text = SCRIPT.read_text() if script is None else script
    order = ordered(files, watchdog_s)

    def make(path: Path) -> None:
        data = archive(_entries(busybox, files, text, order))
        compressed = (
            lzma.compress(data, check=lzma.CHECK_CRC32, preset=9 | lzma.PRESET_EXTREME)
            if architecture == "amd64"
            else gzip.compress(data, mtime=0)
        )
        path.write_bytes(compressed)

    return artefacts.made(f"initramfs-{architecture}", make, busybox, *map(str, files), text, order)


def ordered(modules: Iterable[Path], watchdog_s: int = WATCHDOG_S) -> str:
    """The file `order`: a line for each module, in which to load them, with its parameters."""
    parameters = {"i6300esb.ko": f" heartbeat={watchdog_s}"}
    return "".join(f"{module.name}{parameters.get(module.name, '')}\n" for module in modules)


def archive(entries: Iterable[Entry]) -> bytes:
    """All entries as a cpio archive; a folder comes before what is in it."""
    numbered = enumerate([*entries, Entry("TRAILER!!!", 0)], start=1)
    return b"".join(_member(number, entry) for number, entry in numbered)


def _entries(busybox: Path, modules: Iterable[Path], script: str, order: str) -> Iterable[Entry]:
    for folder in _FOLDERS:
        yield Entry(folder, stat.S_IFDIR | 0o755)
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE)
    yield Entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    for applet in _APPLETS:
        yield Entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
    yield Entry("init", stat.S_IFREG | 0o755, script.encode())
    yield Entry("modules/order", stat.S_IFREG | 0o644, order.encode())
    for module in modules:
        yield Entry(f"modules/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())


def _member(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(head) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
