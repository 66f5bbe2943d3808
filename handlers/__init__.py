"""What is done with an entry of the sw-description: one module for each `type`, and the table of them all.

To add one: write `handlers/NAME.py` with a function as `ota.job.Handler` describes, and give it a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers.bootloader import bootloader
from handlers.delta import delta
from handlers.dummy import dummy
from handlers.executor import executor
from handlers.raw import raw
from handlers.rdiff_image import rdiff_image
from handlers.shellscript import postinstall, preinstall, shellscript
from ota.formats.selection import Section
from ota.job import Row

IMAGES: Final = frozenset({Section.IMAGES})
DATA: Final = frozenset({Section.IMAGES, Section.FILES})
SCRIPTS: Final = frozenset({Section.SCRIPTS})
ANYWHERE: Final = frozenset(Section)

HANDLERS: Final[Mapping[str, Row]] = {
    "bootloader": Row(bootloader, IMAGES),
    "delta": Row(delta, DATA),
    "dummy": Row(dummy, ANYWHERE, has_data=False),
    "executor": Row(executor, IMAGES),
    "postinstall": Row(postinstall, SCRIPTS),
    "preinstall": Row(preinstall, SCRIPTS),
    "raw": Row(raw, IMAGES),
    "rdiff_image": Row(rdiff_image, IMAGES),
    "shellscript": Row(shellscript, SCRIPTS),
    "uboot": Row(bootloader, IMAGES),
}
