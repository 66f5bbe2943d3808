"""What is done with an entry of the sw-description: one module for each `type`, and the table of them all.

To add one: write `handlers/NAME.py` with a function as `ota.job.Handler` describes, and give it a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers.delta import delta
from handlers.raw import raw
from handlers.rdiff_image import rdiff_image
from ota.formats.selection import Section
from ota.job import Row

IMAGES: Final = frozenset({Section.IMAGES})
DATA: Final = frozenset({Section.IMAGES, Section.FILES})

HANDLERS: Final[Mapping[str, Row]] = {
    "delta": Row(delta, DATA),
    "raw": Row(raw, IMAGES),
    "rdiff_image": Row(rdiff_image, IMAGES),
}
