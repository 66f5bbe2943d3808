"""An rdiff delta from an earlier image, as builders write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from ota.native import rsync
from ota.settings import Table
from packager import compression
from packager.compression import Setting
from packager.interfaces import Measured

MIN_BLOCK: Final = 128  # bytes; below it the signature outgrows what the delta saves
MAX_BLOCK: Final = 1 << 20
# Bytes of each block's digest. Two blocks of one digest would show in the self-check; half the memory of 32.
STRONG: Final = 16


@dataclass(frozen=True, slots=True)
class Ends:
    """What a delta leads from and to, as it was read."""

    base: Measured
    image: Measured


def read(table: Table) -> int:
    """`block`: how many bytes of the base are found again, at least."""
    block = table.integer("block", 1024)
    if not MIN_BLOCK <= block <= MAX_BLOCK:
        raise ConfigError(
            "config-value",
            f"{table.path}: block is wrong",
            expected=f"{MIN_BLOCK} to {MAX_BLOCK} bytes",
            found=block,
            hint="512 to 1024 gives the smallest downloads",
        )
    return block


def write(base: Path, image: Path, output: Path, block: int, setting: Setting) -> Ends:
    """Write the delta that makes `image` from `base`, compressed where the setting says how.

    Holds 60 bytes for each block of the base; the plain delta lies beside the output meanwhile.
    """
    plain = output.with_name(output.name + ".plain") if setting.method else output
    with base.open("rb") as file:
        old = Measured(file)
        signature = b"".join(rsync.signature(old, block=block, strong=STRONG))
    with image.open("rb") as source, plain.open("wb") as delta:
        new = Measured(source)
        delta.writelines(rsync.delta(signature, new))
    if setting.method:
        with plain.open("rb") as source:
            compression.write(source, plain.stat().st_size, output, setting)
        plain.unlink()
    return Ends(old, new)
