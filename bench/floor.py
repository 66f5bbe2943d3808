"""What an update cannot cost less than: the bare programs for each part of it, each in a process of its own.

Source and target are read and hashed once, what was fetched is decompressed once, what was written is
written once and made durable. Reads and writes go past the page cache: through it, a `dd` takes several times
the CPU, another amount each time, and a floor that is too high flatters.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lab
from lab import Lab, Run

from ota.formats import zchunk
from ota.formats.zchunk import Header

_PYTHON: Final = (sys.executable, "-I", "-c")

# The digest is OpenSSL's.
_HASH: Final = """
import hashlib, mmap, os, sys
file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
digest, buffer = hashlib.sha256(), mmap.mmap(-1, 1 << 20)
while size := os.readv(file, [buffer]):
    digest.update(memoryview(buffer)[:size])
"""

_DECOMPRESS: Final = """
import sys, zstandard
with open(sys.argv[1], "rb") as file:
    frames = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    while frames.read(1 << 20):
        pass
"""


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU seconds."""

    hash_s: float
    write_s: float
    decompress_s: float

    @property
    def total_s(self) -> float:
        return self.hash_s + self.write_s + self.decompress_s


def measure(device: Lab, image: Path, manifests: tuple[Path, Path], written: int) -> Floor:
    """The floor of an update that was just installed.

    Args:
        image: what slot b holds now.
        manifests: .zck files of the releases in slots a and b.
        written: bytes.
    """
    frames = device.folder / "frames.zst"
    _collect(manifests, frames)
    copy = [f"if={image}", f"of={device.slots[1]}", "bs=1M", f"count={written}", "iflag=count_bytes"]
    return Floor(
        hash_s=sum(_run(*_PYTHON, _HASH, slot).cpu_s for slot in device.slots),
        write_s=_run("dd", *copy, "oflag=direct", "conv=fsync").cpu_s,
        decompress_s=_run(*_PYTHON, _DECOMPRESS, frames).cpu_s,
    )


def read(slot: Path) -> float:
    """Seconds that it takes to read a slot from the medium and to hash it."""
    return _run(*_PYTHON, _HASH, slot).wall_s


def _collect(manifests: tuple[Path, Path], frames: Path) -> None:
    """Write what has to be fetched, as it comes: chunks that the old release has not, each once."""
    old, new = map(_header, manifests)
    held = {old.digest(number) for number in range(len(old))}
    missing = {new.digest(number): number for number in range(len(new)) if new.digest(number) not in held}
    with manifests[1].open("rb") as published, frames.open("wb") as output:
        for chunk in map(new.chunk, missing.values()):
            published.seek(chunk.start)
            output.write(published.read(chunk.stop - chunk.start))


def _header(path: Path) -> Header:
    with path.open("rb") as file:
        return zchunk.parse_manifest(file.read(zchunk.MAX_HEADER))


def _run(*command: str | Path) -> Run:
    done = lab.run(*command)
    if done.status:
        sys.exit(done.errors)
    return done
