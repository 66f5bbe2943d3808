"""What is done with an entry of the sw-description: one module for each `type`, and the table of them all.

To add one: write `handlers/NAME.py` with a function as `ota.job.Handler` describes, and give it a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers.delta import delta
from handlers.raw import raw
from handlers.rdiff_image import rdiff_image
from ota.job import Handler

HANDLERS: Final[Mapping[str, Handler]] = {
    "delta": delta,
    "raw": raw,
    "rdiff_image": rdiff_image,
}
