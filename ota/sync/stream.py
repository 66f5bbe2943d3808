"""Write an image that comes as a stream, then prove it by reading it back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ota.errors import DeviceError, UpdateError
from ota.formats.selection import Entry
from ota.formats.zchunk import Header
from ota.interfaces import BlockTarget, Event, Progress
from ota.sync.index import index


@dataclass(frozen=True, slots=True)
class Image:
    """What an image must be, as far as the signed description says."""

    size: int | None  # bytes
    sha256: str | None  # hex

    def check_fits(self, target: BlockTarget, offset: int, name: str) -> None:
        """Raises: DeviceError("slot-size") where the target is too small."""
        if self.size is not None and offset + self.size > target.size:
            raise DeviceError(
                "slot-size",
                f"the image does not fit {name}",
                expected=f"<= {target.size - offset} bytes",
                found=self.size,
            )


def described(entry: Entry) -> Image:
    """The properties `image-size` and `image-sha256`: signed, and ignored by stock SWUpdate."""
    return Image(number(entry, "image-size"), digest(entry, "image-sha256"))


def contained(entry: Entry, stored_size: int) -> Image:
    """The image that is the artifact itself: as described, or as stored where that is how it is."""
    if entry.compressed is None and not entry.encrypted:
        return Image(stored_size, entry.sha256)
    return described(entry)


def number(entry: Entry, name: str) -> int | None:
    """A property that is a number of bytes, if it is there.

    Raises:
        UpdateError: "description-content".
    """
    text = entry.property(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise UpdateError("description-content", f"{entry.label}: {name}", expected="bytes", found=text)
    return int(text)


def digest(entry: Entry, name: str) -> str | None:
    """A property that is a sha256, if it is there.

    Raises:
        UpdateError: "description-content".
    """
    text = entry.property(name)
    if text is not None and not is_digest(text):
        raise UpdateError("description-content", f"{entry.label}: {name}", expected="sha256", found=text)
    return text


def is_digest(text: str) -> bool:
    """Whether a text is a sha256 in lower-case hex."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def write(
    blocks: Iterable[bytes], target: BlockTarget, offset: int, image: Image, progress: Progress
) -> Image:
    """Write blocks one after the other from `offset` on.

    Returns:
        What was written.

    Raises:
        DeviceError: "slot-size", "slot-write".
        UpdateError: "result-mismatch": the stream is not the image that is described.
    """
    whole = hashlib.sha256()
    size = 0
    for block in blocks:
        target.write_at(offset + size, block)
        whole.update(block)
        size += len(block)
        progress(Event("write", size, image.size or 0))
    written = Image(size, whole.hexdigest())
    if image.size not in (None, size) or image.sha256 not in (None, written.sha256):
        raise UpdateError(
            "result-mismatch",
            "the image that came out is not the one that is described",
            expected=f"{image.size} bytes, sha256 {image.sha256}",
            found=f"{written.size} bytes, sha256 {written.sha256}",
        )
    return written


def read_back(target: BlockTarget, offset: int, written: Image, progress: Progress) -> Header:
    """Prove that a target holds what was written at `offset`.

    Returns:
        The manifest of it: reading it back is the time to cut it into chunks.

    Raises:
        DeviceError: "slot-damaged".
    """
    assert written.size is not None
    target.sync()
    header, found = index(target, offset, written.size, progress)
    if found != written.sha256:
        raise DeviceError(
            "slot-damaged", "the slot does not keep what is written", expected=written.sha256, found=found
        )
    return header
