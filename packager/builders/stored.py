"""The file itself, compressed or as it is: for every type whose handler makes of it what it will."""

from __future__ import annotations

import re
from typing import Final

from ota.errors import ConfigError
from ota.formats import cpio
from ota.formats.selection import Entry
from ota.interfaces import Reader
from ota.io.readers import blocks
from ota.settings import Table
from packager import compression
from packager.builders import result
from packager.interfaces import Artifact, Companions, Figures, Image, Measured, Workspace

# Of the member's name; stock SWUpdate hands a script's name to a shell.
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9_-]{1,16}")


def read(table: Table) -> compression.Setting:
    """`compressed` and `level`; as it is, where nothing is said."""
    return compression.read(table, "none")


def build(image: Image, workspace: Workspace) -> Artifact:
    """Compress the file; uncompressed it goes into the archive from where it lies."""
    setting: compression.Setting = image.options
    suffix = image.file.suffix if _SUFFIX.fullmatch(image.file.suffix) else ""
    return store(image, f"{image.name}{suffix}", setting, workspace)


def store(image: Image, name: str, setting: compression.Setting, workspace: Workspace) -> Artifact:
    """An artifact of that name, which the suffix of its compression follows."""
    member = name + setting.suffix
    size = image.file.stat().st_size
    if setting.method is None and size > cpio.MAX_SIZE:
        raise ConfigError(
            "release-content",
            f"{image.file}, for {image.name!r}, is too large for a cpio archive",
            expected=f"at most {cpio.MAX_SIZE} bytes",
            found=size,
            hint="compress it, or deliver an image as type delta",
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
    """The payload is what the entry describes."""
    return result.check(entry, blocks(payload))
