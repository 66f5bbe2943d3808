"""The one table of builders: the `type` of an entry, and the module that makes and checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from packager.builders import delta, raw, rdiff_image
from packager.interfaces import Builder

BUILDERS: Final[Mapping[str, Builder]] = {
    "delta": delta,
    "raw": raw,
    "rdiff_image": rdiff_image,
}
