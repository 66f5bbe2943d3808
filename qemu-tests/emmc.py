"""Images of a whole eMMC: boot0, boot1, and the user area with boot loader, environment and partitions.

Nothing is mounted: each part is made by its own tool, in place or as a file.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import artefacts
import bootenv
import emulation
import toolchain
import uboot
from emulation import Emulation

from ota.boot.table import TRIES, USTATE, UpdateState
from packager import bootscript

SECTOR: Final = 512  # bytes
TIME: Final = "1735689600"  # seconds since 1970: of every file

_NEW: Final = {"boot_slot": "a", USTATE: UpdateState.OK.value, TRIES: "0"}  # as U-Boot's script has it

_CORE: Final = 64  # sector of GRUB's core image, behind the partition table
_GRUB: Final = "usr/lib/grub/i386-pc"
_GRUB_MODULES: Final = (
    "biosdisk", "part_gpt", "ext2", "squash4", "gzio", "linux", "loadenv", "normal", "configfile", "serial",
    "terminal", "test", "true", "echo", "sleep", "reboot", "minicmd",
)  # fmt: skip
_GRUB_START: Final = """\
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set root=(hd0,gpt1)
set prefix=(hd0,gpt1)/grub
configfile /grub/grub.cfg
"""


def disk_image(board: str, slots: Mapping[str, Path], variables: Mapping[str, str] | None = None) -> Path:
    """An eMMC as the factory left it; a sparse file that nobody may write to.

    Args:
        board: its name in `boards/`.
        slots: name of a slot -> what is in it, an artefact; a slot without stays empty.
        variables: of the boot environment, beside what the boot loader's script brings.
    """
    target = emulation.read(board)
    script = _script(board)
    stored = {**(_lines(script) if target.loader == "uboot" else _NEW), **(variables or {})}
    words = [f"{name}={image}" for name, image in slots.items()]
    return artefacts.made(
        f"emmc-{board}", lambda path: _make(path, target, slots, script, stored),
        repr(target), script, repr(stored), *words, toolchain.toolchain(),
    )  # fmt: skip


def firmware(board: str) -> tuple[str | Path, ...]:
    """What the emulator is told to start, where that is not in the eMMC."""
    if emulation.read(board).loader == "uboot":
        return "-bios", uboot.uboot(_lines(_script(board)))
    return ()


def _script(board: str) -> str:
    return bootscript.write(board, Path()).text


def _lines(script: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in script.splitlines())


def _make(
    path: Path, target: Emulation, slots: Mapping[str, Path], script: str, stored: Mapping[str, str]
) -> None:
    area = 2 * target.boot_partition  # where the user area begins
    with path.open("wb") as image:
        image.truncate(area + target.size)
        parts = [*_partition_table(target)]
        if target.loader == "uboot":
            parts += [(offset, uboot.environment(stored)) for offset in uboot.ENVIRONMENT_OFFSETS]
        else:
            parts += _grub()
        for name, content in slots.items():
            partition = target.partition(f"slot-{name}")
            assert content.stat().st_size <= partition.size, (content, partition)
            parts.append((partition.start, content.read_bytes()))
        for offset, data in parts:
            os.pwrite(image.fileno(), data, area + offset)
    with tempfile.TemporaryDirectory() as folder:
        if target.loader == "grub":
            (Path(folder) / "grub").mkdir()
            (Path(folder) / "grub" / "grub.cfg").write_text(script)
            (Path(folder) / "grub" / "grubenv").write_bytes(bootenv.render_grub(stored))
        _make_file_system(path, target, "boot", "^has_journal,^metadata_csum,^64bit", Path(folder))
    _make_file_system(path, target, "data", "^orphan_file", None)


def _partition_table(target: Emulation) -> Iterator[tuple[int, bytes]]:
    """The two copies of a GPT, and where each lies in the user area."""
    lines = ["label: gpt", f"label-id: {_uuid(0)}", "unit: sectors", "first-lba: 34"]
    for number, partition in enumerate(target.partitions, start=1):
        start, size = partition.start // SECTOR, partition.size // SECTOR
        lines.append(f"start={start}, size={size}, name={partition.name}, uuid={_uuid(number)}, type=linux")
    with tempfile.NamedTemporaryFile() as area:
        area.truncate(target.size)
        artefacts.run(artefacts.tool("sfdisk"), "--quiet", area.name, text="\n".join(lines))
        yield 0, os.pread(area.fileno(), 34 * SECTOR, 0)
        yield target.size - 33 * SECTOR, os.pread(area.fileno(), 33 * SECTOR, target.size - 33 * SECTOR)


def _grub() -> Iterator[tuple[int, bytes]]:
    """What grub-install would write: the boot sector's code, and the core image that it reads."""
    with toolchain.workshop() as folder:
        (folder / "start.cfg").write_text(_GRUB_START)
        options = f"-O i386-pc -o core.img -p '(hd0,gpt1)/grub' -c start.cfg {' '.join(_GRUB_MODULES)}"
        toolchain.execute(f"grub-mkimage {options}", folder)
        core = bytearray((folder / "core.img").read_bytes())
    boot = bytearray((toolchain.toolchain() / _GRUB / "boot.img").read_bytes()[:440])
    struct.pack_into("<Q", boot, 0x5C, _CORE)  # boot/i386/pc/boot.S, kernel_sector
    # boot/i386/pc/diskboot.S, end of the first sector: where the others lie, how many, and where they go.
    sectors = -(-len(core) // SECTOR)
    struct.pack_into("<QHH", core, SECTOR - 12, _CORE + 1, sectors - 1, 0x820)
    yield 0, bytes(boot)
    yield _CORE * SECTOR, bytes(core)


def _make_file_system(path: Path, target: Emulation, name: str, features: str, content: Path | None) -> None:
    options = f"offset={target.offset(name)},hash_seed={_uuid(0)},root_owner=0:0,lazy_itable_init=0"
    filled = ("-d", content) if content else ()
    artefacts.run(
        artefacts.tool("mke2fs"), "-q", "-t", "ext4", "-F", "-b", "4096", "-m", "0", "-L", name,
        "-U", _uuid(len(name)), "-O", features, "-E", options, *filled, path,
        f"{target.partition(name).size // 1024}k",
        SOURCE_DATE_EPOCH=TIME,
    )  # fmt: skip


def _uuid(number: int) -> str:
    return f"6f6d0f6e-7a1b-4c39-9d55-{number:012}"
