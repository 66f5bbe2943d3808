"""The other files of an image that is delivered as a delta: what the entry says of them, and their proof."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from ota.errors import TrustError
from ota.formats import alternatives
from ota.formats.alternatives import Alternative, Method
from ota.formats.selection import Entry
from ota.io.readers import Decompress, blocks
from packager import inputs
from packager.builders import result
from packager.interfaces import Companions, Delta, Figures

_MIN_WINDOW: Final = 1 << 10  # bytes; the smallest that zstd can be told


def properties(delta: Delta) -> dict[str, str | list[str]]:
    """`rdiff` and `full`, as far as such files are published."""
    chosen = [candidate.alternative for candidate in delta.candidates if candidate.chosen]
    files = [alternative for alternative in dict.fromkeys(chosen) if alternative]
    deltas = [alternatives.render(file) for file in files if file.method is Method.RDIFF]
    full = [alternatives.render(file) for file in files if file.method is Method.FULL]
    return {**({"rdiff": deltas} if deltas else {}), **({"full": full[0]} if full else {})}


def check(entry: Entry, companions: Companions) -> Figures:
    """Each file is the one that is described; it gives the image, as far as its base is at hand."""
    assert companions.publish
    found = alternatives.parse(entry)
    if not found:
        return {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        proved = list(pool.map(partial(_check, entry, companions, companions.publish), found))
    deltas = [proof for file, proof in zip(found, proved, strict=True) if file.method is Method.RDIFF]
    sizes = {file.method: file.size for file in found if file.method is Method.FULL}
    return {
        **({"full_size": sizes[Method.FULL]} if sizes else {}),
        **({"rdiff_deltas": len(deltas), "rdiff_deltas_applied": sum(deltas)} if deltas else {}),
    }


def _check(entry: Entry, companions: Companions, folder: Path, file: Alternative) -> bool:
    """Whether its content could be proved, beyond its digest."""
    path = inputs.existing(folder / file.file, f"the {file.method} file of {entry.filename}")
    bases = [base for base in companions.bases if (base.sha256, base.size) == file.base]
    with path.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        if (digest, path.stat().st_size) != (file.sha256, file.size):
            raise TrustError("digest-mismatch", file.file, expected=file.sha256, found=digest)
        source.seek(0)
        plain = Decompress(source, file.compressed, max(file.window, _MIN_WINDOW), file.file)
        if bases:
            result.check_patched(entry, bases[0], plain)
        elif file.base is None:
            result.check(entry, blocks(plain))
    return bool(bases) or file.base is None
