"""U-Boot for the arm64 board, from Debian's source package: the packaged binaries know no MMC.

It is compiled once. Its default environment, which counts where no stored copy is good, is put into a place
that was reserved in the binary.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import artefacts
import debian
import toolchain

ENVIRONMENT_SIZE: Final = 0x2000  # bytes of a copy
ENVIRONMENT_OFFSETS: Final = (0x100000, 0x180000)  # of the two copies, in the eMMC's user area

# What every environment of this board begins with: where things go in memory.
BASE: Final = {
    "kernel_addr_r": "0x40400000",
    "kernel_comp_addr_r": "0x58000000",
    "kernel_comp_size": "0x2000000",
    "ramdisk_addr_r": "0x48000000",
    "fdt_addr": "0x40000000",  # where QEMU puts it
    "fdt_high": "0xffffffffffffffff",  # used where they lie
    "initrd_high": "0xffffffffffffffff",
}

# Of the modes of an SD host controller, QEMU's does this one: SDMA times out on the second file, ADMA with
# 64 bits on the first.
_CONFIGURATION: Final = f"""\
CONFIG_MMC=y
CONFIG_MMC_PCI=y
CONFIG_MMC_SDHCI=y
# CONFIG_MMC_SDHCI_SDMA is not set
CONFIG_MMC_SDHCI_ADMA=y
CONFIG_MMC_SDHCI_ADMA_FORCE_32BIT=y
CONFIG_SUPPORT_EMMC_BOOT=y
CONFIG_CMD_MMC=y
CONFIG_CMD_PART=y
CONFIG_CMD_SETEXPR=y
CONFIG_CMD_SLEEP=y
CONFIG_CMD_SQUASHFS=y
CONFIG_CMD_EXT4=y
CONFIG_CMD_NVEDIT_LOAD=y
# CONFIG_ENV_IS_IN_FLASH is not set
# CONFIG_ENV_IS_NOWHERE is not set
CONFIG_ENV_IS_IN_MMC=y
CONFIG_SYS_MMC_ENV_DEV=0
CONFIG_SYS_MMC_ENV_PART=0
CONFIG_ENV_SIZE={ENVIRONMENT_SIZE:#x}
CONFIG_ENV_OFFSET={ENVIRONMENT_OFFSETS[0]:#x}
CONFIG_SYS_REDUNDAND_ENVIRONMENT=y
CONFIG_ENV_OFFSET_REDUND={ENVIRONMENT_OFFSETS[1]:#x}
CONFIG_USE_PREBOOT=y
CONFIG_USE_DEFAULT_ENV_FILE=y
CONFIG_DEFAULT_ENV_FILE="environment"
# CONFIG_BOOTCOUNT_LIMIT is not set
# CONFIG_BOOTSTD is not set
# CONFIG_EFI_LOADER is not set
# CONFIG_TPM is not set
# CONFIG_USB is not set
# CONFIG_TOOLS_MKEFICAPSULE is not set
"""
_RESERVED: Final = b"reserved=" + b"." * (ENVIRONMENT_SIZE - 0x100)


def uboot(variables: Mapping[str, str]) -> Path:
    """The boot loader, to be given to the emulator as `-bios`, with its default environment."""
    compiled = artefacts.made("u-boot-compiled", _compile, toolchain.toolchain())
    text = _text(variables)
    return artefacts.made("u-boot", lambda path: _fill(compiled, text, path), compiled, text)


def environment(variables: Mapping[str, str]) -> bytes:
    """A stored copy of the environment, as U-Boot and libubootenv keep it."""
    with tempfile.TemporaryDirectory() as folder:
        source, image = Path(folder) / "variables", Path(folder) / "image"
        source.write_text(_text(variables))
        mkenvimage = artefacts.tool("mkenvimage")
        artefacts.run(mkenvimage, "-r", "-s", str(ENVIRONMENT_SIZE), "-o", image, source)
        return image.read_bytes()


def _text(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in (BASE | dict(variables)).items())


def _compile(path: Path) -> None:
    with toolchain.workshop() as folder:
        (tarball,) = debian.download_source(folder, "u-boot", "trixie").glob("*.orig.tar.*")
        (folder / "fragment").write_text(_CONFIGURATION)
        (folder / "environment").write_bytes(_RESERVED + b"\n")
        toolchain.execute(_BUILD, folder, TARBALL=tarball.name, CROSS_COMPILE=toolchain.PREFIX["arm64"])
        shutil.copy(folder / "u-boot" / "u-boot.bin", path)


_BUILD: Final = """\
mkdir u-boot
tar -xf $TARBALL -C u-boot --strip-components=1
cp environment u-boot/
cd u-boot
make -s qemu_arm64_defconfig
scripts/kconfig/merge_config.sh -m .config ../fragment
make -s olddefconfig
while read -r line; do grep -qxF "$line" .config || { echo "not taken: $line"; exit 1; }; done < ../fragment
make -s -j2 u-boot.bin
"""


def _fill(compiled: Path, text: str, path: Path) -> None:
    program = compiled.read_bytes()
    filling = text.replace("\n", "\0").encode()
    if program.count(_RESERVED) != 1 or len(filling) > len(_RESERVED):
        raise RuntimeError(f"{len(filling)} bytes of environment do not fit into {len(_RESERVED)}")
    path.write_bytes(program.replace(_RESERVED, filling.ljust(len(_RESERVED), b"\0")))
