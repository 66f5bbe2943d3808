"""What is done with an entry of the sw-description: one module for each `type`, and the table of them all.

To add one: write `handlers/NAME.py` with a function as `ota.job.Handler` describes, and give it a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers.archive import archive
from handlers.bootloader import bootloader
from handlers.copy import copy
from handlers.delta import delta
from handlers.diskformat import diskformat
from handlers.diskpart import diskpart
from handlers.dummy import dummy
from handlers.emmc_boot import emmc_boot, emmc_boot_toggle
from handlers.executor import executor
from handlers.gptpart import gptpart
from handlers.gptswap import gptswap
from handlers.raw import raw
from handlers.rawfile import rawfile
from handlers.rdiff_file import rdiff_file
from handlers.rdiff_image import rdiff_image
from handlers.readback import readback
from handlers.shellscript import postinstall, preinstall, shellscript
from handlers.toggleboot import toggleboot
from handlers.uniqueuuid import uniqueuuid
from ota.formats.selection import Section
from ota.job import Row

IMAGES: Final = frozenset({Section.IMAGES})
FILES: Final = frozenset({Section.FILES})
DATA: Final = IMAGES | FILES
PARTITIONS: Final = frozenset({Section.PARTITIONS})
SCRIPTS: Final = frozenset({Section.SCRIPTS})
ANYWHERE: Final = frozenset(Section)

HANDLERS: Final[Mapping[str, Row]] = {
    "archive": Row(archive, DATA),
    "bootloader": Row(bootloader, IMAGES),
    "copy": Row(copy, SCRIPTS, has_data=False),
    "delta": Row(delta, DATA),
    "diskformat": Row(diskformat, PARTITIONS, has_data=False),
    "diskpart": Row(diskpart, PARTITIONS, has_data=False),
    "dummy": Row(dummy, ANYWHERE, has_data=False),
    "emmc_boot": Row(emmc_boot, SCRIPTS, has_data=False),
    "emmc_boot_toggle": Row(emmc_boot_toggle, SCRIPTS, has_data=False),
    "executor": Row(executor, IMAGES),
    "gptpart": Row(gptpart(raw), IMAGES),
    "gptswap": Row(gptswap, SCRIPTS, has_data=False),
    "postinstall": Row(postinstall, SCRIPTS),
    "preinstall": Row(preinstall, SCRIPTS),
    "raw": Row(raw, IMAGES),
    "rawcopy": Row(copy, SCRIPTS, has_data=False),
    "rawfile": Row(rawfile, FILES),
    "rdiff_file": Row(rdiff_file, FILES),
    "rdiff_image": Row(rdiff_image, IMAGES),
    "readback": Row(readback, SCRIPTS, has_data=False),
    "shellscript": Row(shellscript, SCRIPTS),
    "tar": Row(archive, DATA),
    "toggleboot": Row(toggleboot, SCRIPTS, has_data=False),
    "uboot": Row(bootloader, IMAGES),
    "uniqueuuid": Row(uniqueuuid, PARTITIONS, has_data=False),
}
