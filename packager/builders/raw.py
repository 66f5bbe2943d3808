"""The image itself, compressed or as it is."""

from __future__ import annotations

from dataclasses import dataclass

from ota.errors import ConfigError
from ota.formats import cpio
from ota.formats.selection import Entry
from ota.interfaces import Reader
from ota.io.readers import blocks
from ota.settings import Table
from packager import compression
from packager.builders import result
from packager.interfaces import Artifact, Companions, Figures, Image, Measured, Workspace


@dataclass(frozen=True, slots=True)
class Options:
    """Of an image of this type."""

    compression: compression.Setting


def read(table: Table) -> Options:
    """`compressed` and `level`."""
    return Options(compression.read(table))


def build(image: Image, workspace: Workspace) -> Artifact:
    """Compress the image; uncompressed it goes into the archive from where it lies."""
    setting = image.options.compression
    member = f"{image.name}.img{setting.suffix}"
    size = image.file.stat().st_size
    if setting.method is None and size > cpio.MAX_SIZE:
        raise ConfigError(
            "release-content",
            f"image {image.name!r} is too large for a cpio archive",
            expected=f"at most {cpio.MAX_SIZE} bytes",
            found=size,
            hint="compress it, or deliver it as type delta",
        )
    file = workspace.members / member if setting.method else image.file
    with image.file.open("rb") as source:
        measured = Measured(source)
        if setting.method:
            compression.write(measured, size, file, setting)
        else:
            for _ in blocks(measured):
                pass
    properties = result.properties(measured)
    return Artifact(member, file, lambda _: properties, setting.method)


def check(entry: Entry, payload: Reader, companions: Companions) -> Figures:
    """The payload is the image that the entry describes."""
    return result.check(entry, blocks(payload))
