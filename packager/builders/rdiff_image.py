"""An rdiff delta from one earlier image: the smallest download there is, for devices that hold that image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ota.errors import UpdateError
from ota.formats.selection import Entry
from ota.interfaces import Reader
from ota.io.readers import blocks, read_full
from ota.settings import Table
from packager import compression, inputs, rdiff
from packager.builders import result
from packager.interfaces import Artifact, BaseFile, Companions, Figures, Image, Measured, Workspace

MAGIC: Final = bytes.fromhex("72730236")  # librsync's doc/formats.md, "Delta files"


@dataclass(frozen=True, slots=True)
class Options:
    """Of an image of this type."""

    base: Path
    block: int  # bytes
    compression: compression.Setting


def read(table: Table) -> Options:
    """`base`, `block`, `compressed` and `level`."""
    return Options(inputs.image(table, "base"), rdiff.read(table), compression.read(table))


def build(image: Image, workspace: Workspace) -> Artifact:
    """The delta, for the slot that does not run from the one that does."""
    made = make(image, workspace)
    return replace(made, properties=lambda other: {"rdiffbase": [other.device], **made.properties(other)})


def make(image: Image, workspace: Workspace) -> Artifact:
    """Write the delta, compressed."""
    options: Options = image.options
    stored = workspace.members / f"{image.name}.rdiff{options.compression.suffix}"
    ends = rdiff.write(options.base, image.file, stored, options.block, options.compression)
    base = BaseFile(options.base, ends.base.size, ends.base.sha256)
    about = {"base-sha256": base.sha256, "base-size": str(base.size), **result.properties(ends.image)}
    return Artifact(stored.name, stored, lambda _: about, options.compression.method, (base,))


def check(entry: Entry, payload: Reader, companions: Companions) -> Figures:
    """It is a delta; and where the base is at hand, it gives the image that the entry describes."""
    delta = Measured(payload)
    if not companions.bases:
        _check_magic(entry, delta)
        return {"delta_size": delta.size}
    base = result.base(entry, companions, entry.property("base-sha256"), entry.property("base-size"))
    figures = result.check_patched(entry, base, delta)
    return {**figures, "base_size": base.size, "delta_size": delta.size}


def _check_magic(entry: Entry, delta: Reader) -> None:
    magic = read_full(delta, len(MAGIC))
    if magic != MAGIC:
        raise UpdateError(
            "delta-format", f"{entry.filename} is no rdiff delta", expected=MAGIC.hex(), found=magic.hex()
        )
    for _ in blocks(delta):
        pass
