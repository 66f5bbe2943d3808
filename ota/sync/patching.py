"""The base of an rdiff delta: a delta itself detects next to nothing, so the base is proved before."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from ota.errors import UpdateError
from ota.formats.selection import Entry
from ota.interfaces import Event, Progress
from ota.io.target import Target
from ota.sync import stream
from ota.sync.stream import Image

_log = logging.getLogger(__name__)


def base(entry: Entry) -> Image:
    """The properties `base-size` and `base-sha256`: signed, and ignored by stock SWUpdate."""
    return Image(stream.number(entry, "base-size"), stream.digest(entry, "base-sha256"))


def warn_unproved(entry: Entry, expected: Image, image: Image) -> None:
    """Say it where base or result cannot be proved."""
    if expected.sha256 is None or image.sha256 is None:
        _log.warning(
            "%s has no base-sha256 and image-sha256: a wrong base would not be noticed", entry.filename
        )


def measure(path: Path, expected: Image) -> int:
    """Bytes of a device or file that are the base.

    Raises:
        UpdateError: "delta-base": it is too short.
        DeviceError: "slot-unreadable".
    """
    with Target(path) as source:
        size = source.size if expected.size is None else expected.size
        if size > source.size:
            raise UpdateError(
                "delta-base", f"{path} is too short", expected=f"{size} bytes", found=source.size
            )
    return size


def prove(path: Path, size: int, expected: Image, progress: Progress) -> None:
    """Refuse a base that is not the one which is described, if one is.

    Raises:
        UpdateError: "delta-base".
        DeviceError: "slot-unreadable".
    """
    if expected.sha256 is None:
        return
    found = hashlib.sha256()
    with Target(path) as source:
        done = 0
        for block in source.scan(0, size):
            found.update(block)
            done += len(block)
            progress(Event("base", done, size))
    if found.hexdigest() != expected.sha256:
        raise UpdateError(
            "delta-base",
            f"{path} is not what this delta was made from",
            expected=expected.sha256,
            found=found.hexdigest(),
            hint="install a delta or raw package instead: they need no exact base",
        )
