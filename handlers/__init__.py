"""What is done with an entry of the sw-description: one module for each `type`, and the table of them all.

To add one: write `handlers/NAME.py` with a function as `ota.job.Handler` describes, and give it a row. A
handler's module, and the libraries that it needs, are loaded when an update has an entry for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Final

from ota.formats.selection import Section
from ota.job import Row

if TYPE_CHECKING:
    import handlers.archive
    import handlers.bootloader
    import handlers.copy
    import handlers.delta
    import handlers.diskformat
    import handlers.diskpart
    import handlers.dummy
    import handlers.emmc_boot
    import handlers.executor
    import handlers.gptpart
    import handlers.gptswap
    import handlers.raw
    import handlers.rawfile
    import handlers.rdiff_file
    import handlers.rdiff_image
    import handlers.readback
    import handlers.shellscript
    import handlers.toggleboot
    import handlers.uniqueuuid
else:
    import handlers

    def __getattr__(name: str) -> ModuleType:
        """`handlers.NAME`, when a row below asks for it."""
        if importlib.util.find_spec(f"{__name__}.{name}") is None:
            raise AttributeError(name)
        return importlib.import_module(f"{__name__}.{name}")


IMAGES: Final = frozenset({Section.IMAGES})
FILES: Final = frozenset({Section.FILES})
DATA: Final = IMAGES | FILES
PARTITIONS: Final = frozenset({Section.PARTITIONS})
SCRIPTS: Final = frozenset({Section.SCRIPTS})
ANYWHERE: Final = frozenset(Section)

HANDLERS: Final[Mapping[str, Row]] = {
    "archive": Row(lambda: handlers.archive.archive, DATA),
    "bootloader": Row(lambda: handlers.bootloader.bootloader, IMAGES),
    "copy": Row(lambda: handlers.copy.copy, SCRIPTS, has_data=False),
    "delta": Row(lambda: handlers.delta.delta, DATA),
    "diskformat": Row(lambda: handlers.diskformat.diskformat, PARTITIONS, has_data=False),
    "diskpart": Row(lambda: handlers.diskpart.diskpart, PARTITIONS, has_data=False),
    "dummy": Row(lambda: handlers.dummy.dummy, ANYWHERE, has_data=False),
    "emmc_boot": Row(lambda: handlers.emmc_boot.emmc_boot, SCRIPTS, has_data=False),
    "emmc_boot_toggle": Row(lambda: handlers.emmc_boot.emmc_boot_toggle, SCRIPTS, has_data=False),
    "executor": Row(lambda: handlers.executor.executor, IMAGES),
    "gptpart": Row(lambda: handlers.gptpart.gptpart(handlers.raw.raw), IMAGES),
    "gptswap": Row(lambda: handlers.gptswap.gptswap, SCRIPTS, has_data=False),
    "postinstall": Row(lambda: handlers.shellscript.postinstall, SCRIPTS),
    "preinstall": Row(lambda: handlers.shellscript.preinstall, SCRIPTS),
    "raw": Row(lambda: handlers.raw.raw, IMAGES),
    "rawcopy": Row(lambda: handlers.copy.copy, SCRIPTS, has_data=False),
    "rawfile": Row(lambda: handlers.rawfile.rawfile, FILES),
    "rdiff_file": Row(lambda: handlers.rdiff_file.rdiff_file, FILES),
    "rdiff_image": Row(lambda: handlers.rdiff_image.rdiff_image, IMAGES),
    "readback": Row(lambda: handlers.readback.readback, SCRIPTS, has_data=False),
    "shellscript": Row(lambda: handlers.shellscript.shellscript, SCRIPTS),
    "tar": Row(lambda: handlers.archive.archive, DATA),
    "toggleboot": Row(lambda: handlers.toggleboot.toggleboot, SCRIPTS, has_data=False),
    "uboot": Row(lambda: handlers.bootloader.bootloader, IMAGES),
    "uniqueuuid": Row(lambda: handlers.uniqueuuid.uniqueuuid, PARTITIONS, has_data=False),
}
