"""What is done with an entry of the sw-description: one module for each `type`, and the table of them all.

To add one: write `handlers/NAME.py` with a function as `ota.job.Handler` describes, and give it a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers.archive import archive
from handlers.copy import copy
from handlers.delta import delta
from handlers.raw import raw
from handlers.rawfile import rawfile
from handlers.rdiff_file import rdiff_file
from handlers.rdiff_image import rdiff_image
from ota.formats.selection import Section
from ota.job import Row

IMAGES: Final = frozenset({Section.IMAGES})
FILES: Final = frozenset({Section.FILES})
SCRIPTS: Final = frozenset({Section.SCRIPTS})
DATA: Final = IMAGES | FILES

HANDLERS: Final[Mapping[str, Row]] = {
    **dict.fromkeys(("archive", "tar"), Row(archive, DATA)),
    **dict.fromkeys(("copy", "rawcopy"), Row(copy, SCRIPTS, has_data=False)),
    "delta": Row(delta, DATA),
    "raw": Row(raw, IMAGES),
    "rawfile": Row(rawfile, FILES),
    "rdiff_file": Row(rdiff_file, FILES),
    "rdiff_image": Row(rdiff_image, IMAGES),
}
