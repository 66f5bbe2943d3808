"""What an entry says of the image that it leaves on the device; signed, and ignored by stock SWUpdate."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from ota.errors import UpdateError
from ota.formats.selection import Entry
from ota.interfaces import Reader
from ota.native import rsync
from packager.interfaces import BaseFile, Companions, Figures, Measured
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


def check_patched(entry: Entry, base: BaseFile, delta: Reader) -> Figures:
    """As `check`, of what an rdiff delta makes of its base."""
    descriptor = os.open(base.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return check(entry, rsync.patch(descriptor, base.size, delta))
    finally:
        os.close(descriptor)


def base(entry: Entry, companions: Companions, sha256: str | None, size: str | None) -> BaseFile:
    """The one of the files at hand that a delta was made from.

    Raises:
        UpdateError: "delta-base".
    """
    for file in companions.bases:
        if (file.sha256, str(file.size)) == (sha256, size):
            return file
    raise UpdateError(
        "delta-base",
        f"{entry.filename} was made from another base",
        expected=f"sha256 {sha256}",
        found=", ".join(str(file.path) for file in companions.bases),
    )
