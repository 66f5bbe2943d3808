"""An rdiff delta from one earlier image: the smallest download there is, for devices that hold that image."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, UpdateError
from ota.formats.selection import Entry
from ota.interfaces import Reader
from ota.io.readers import blocks, read_full
from ota.native import rsync
from ota.settings import Table
from packager import compression, inputs
from packager.builders import result
from packager.interfaces import Artifact, Companions, Figures, Image, Measured, Workspace

MAGIC: Final = bytes.fromhex("72730236")  # librsync's doc/formats.md, "Delta files"
MIN_BLOCK: Final = 128  # bytes; below it the signature outgrows what the delta saves
MAX_BLOCK: Final = 1 << 20
# Bytes of each block's digest. Two blocks of one digest would show in the self-check; half the memory of 32.
STRONG: Final = 16


@dataclass(frozen=True, slots=True)
class Options:
    """Of an image of this type."""

    base: Path
    block: int  # bytes
    compression: compression.Setting


def read(table: Table) -> Options:
    """`base`, `block`, `compressed` and `level`."""
    block = table.integer("block", 1024)
    if not MIN_BLOCK <= block <= MAX_BLOCK:
        raise ConfigError(
            "config-value",
            f"{table.path}: block is wrong",
            expected=f"{MIN_BLOCK} to {MAX_BLOCK} bytes",
            found=block,
            hint="512 to 1024 gives the smallest downloads",
        )
    return Options(inputs.image(table, "base"), block, compression.read(table))


def build(image: Image, workspace: Workspace) -> Artifact:
    """The delta, for the slot that does not run from the one that does."""
    made = make(image, workspace)
    return replace(made, properties=lambda other: {"rdiffbase": [other.device], **made.properties(other)})


def make(image: Image, workspace: Workspace) -> Artifact:
    """Write the delta, compressed."""
    options: Options = image.options
    plain = workspace.members / f"{image.name}.rdiff"
    with options.base.open("rb") as file:
        base = Measured(file)
        signature = b"".join(rsync.signature(base, block=options.block, strong=STRONG))
    with image.file.open("rb") as source, plain.open("wb") as output:
        new = Measured(source)
        output.writelines(rsync.delta(signature, new))
    stored = plain.with_name(plain.name + options.compression.suffix)
    if options.compression.method:
        with plain.open("rb") as source:
            compression.write(source, plain.stat().st_size, stored, options.compression)
        plain.unlink()
    about = {"base-sha256": base.sha256, "base-size": str(base.size), **result.properties(new)}
    return Artifact(stored.name, stored, lambda _: about, options.compression.method, options.base)


def check(entry: Entry, payload: Reader, companions: Companions) -> Figures:
    """It is a delta; and where the base is at hand, it gives the image that the entry describes."""
    delta = Measured(payload)
    if not companions.bases:
        _check_magic(entry, delta)
        return {"delta_size": delta.size}
    base = _base(entry, companions)
    size = base.stat().st_size
    descriptor = os.open(base, os.O_RDONLY | os.O_CLOEXEC)
    try:
        figures = result.check(entry, rsync.patch(descriptor, size, delta))
    finally:
        os.close(descriptor)
    return {**figures, "base_size": size, "delta_size": delta.size}


def _base(entry: Entry, companions: Companions) -> Path:
    """The one of the files at hand that the delta was made from."""
    expected = (entry.property("base-sha256"), entry.property("base-size"))
    for path in companions.bases:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if (digest, str(path.stat().st_size)) == expected:
            return path
    raise UpdateError(
        "delta-base",
        f"{entry.filename} was made from another base",
        expected=f"sha256 {expected[0]}",
        found=", ".join(str(path) for path in companions.bases),
    )


def _check_magic(entry: Entry, delta: Reader) -> None:
    magic = read_full(delta, len(MAGIC))
    if magic != MAGIC:
        raise UpdateError(
            "delta-format", f"{entry.filename} is no rdiff delta", expected=MAGIC.hex(), found=magic.hex()
        )
    for _ in blocks(delta):
        pass
