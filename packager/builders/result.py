"""What an entry says of the image that it leaves on the device; signed, and ignored by stock SWUpdate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ota.errors import UpdateError
from ota.formats.selection import Entry
from packager.interfaces import Figures, Measured
from packager.zck import Written


def properties(image: Measured | Written) -> dict[str, str | list[str]]:
    """Of an image that was read to its end."""
    return {"image-sha256": image.sha256, "image-size": str(image.size)}


def check(entry: Entry, pieces: Iterable[bytes]) -> Figures:
    """Compare the image that an entry gives with what the entry says of it, where it says something.

    Raises:
        UpdateError: "result-mismatch".
    """
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    for name, found in (("image-size", str(size)), ("image-sha256", digest.hexdigest())):
        expected = entry.property(name)
        if expected not in (None, found):
            raise UpdateError("result-mismatch", f"{entry.filename}: {name}", expected=expected, found=found)
    return {"image_size": size, "image_sha256": digest.hexdigest()}
