"""What the handlers take for a payload of 1 GiB: memory of each, and CPU beside stock SWUpdate of four.

    make bench BENCH=handlers
    make bench BENCH=handlers JSON=1

The payload is two file systems of the bench images, one after the other; the archive holds 16,384 files of
32 KiB and eight of 64 MiB. CPU is user and system time of a program and all that it started; memory is the
peak of its largest process. Each `ota install` reads back what it wrote to a device, which SWUpdate does not.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import figures
import lab
import peer
import zstandard
from figures import Figure
from lab import Lab, Run, megabytes

from ota.formats import cpio
from ota.io.readers import blocks
from ota.native import rsync
from packager import keys

IMAGES: Final = lab.BUILD / "images/bench"
SIZE: Final = 1 << 30  # bytes of payload
SLOT: Final = SIZE + (64 << 20)

ZEROS: Final = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"  # sha256 of 1 GiB of zeros

MAX_RSS: Final = 64e6  # bytes
MAX_CPU_TO_STOCK: Final = 1.5


@dataclass(frozen=True, slots=True)
class Case:
    """One entry with a payload."""

    name: str
    make: Callable[[Path], Path]  # the member, in a folder; made once
    section: str
    entry: str  # attributes; {device}, {other}, {folder} are filled in
    against_stock: bool = False
    refused: bool = False  # such a payload has a bound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a figure")
    parser.add_argument("--only", metavar="WORD", default="", help="cases whose name has it")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in case.name]
    rows = list(measure(cases))
    found = [figure for row in rows for figure in row.figures()]
    if options.json:
        figures.print_json("handlers", found)
    else:
        print_rows(rows)
        figures.print_text(found)


@dataclass(frozen=True, slots=True)
class Row:
    """What one case took."""

    name: str
    ours: Run
    stock: Run | None

    def figures(self) -> Iterator[Figure]:
        yield Figure(self.name, "peak_rss_bytes", self.ours.peak_rss_bytes, MAX_RSS)
        if self.stock:
            ratio = round(self.ours.cpu_s / self.stock.cpu_s, 2)
            yield Figure(self.name, "cpu_to_stock", ratio, MAX_CPU_TO_STOCK)


def measure(cases: list[Case]) -> Iterator[Row]:
    folder = lab.BUILD / "bench"
    device = Lab(folder, SLOT)
    members = folder / "members"
    with device.running():
        for case in cases:
            lab.say(case.name)
            members.mkdir()
            package = pack(device, case, case.make(members))
            shutil.rmtree(members)
            prepare(device)
            ours = device.ota("install", package)
            if bool(ours.status) != case.refused:
                sys.exit(f"{case.name}: {ours.errors}")
            stock = None
            if case.against_stock:
                prepare(device)
                stock = peer.install(device, package)
            package.unlink()
            yield Row(case.name, ours, stock)


def prepare(device: Lab) -> None:
    device.forget()
    device.empty(1)
    target = device.folder / "target"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    (target / "base").write_bytes(b"base")
    subprocess.run(["sync"], check=True)


def pack(device: Lab, case: Case, member: Path) -> Path:
    """A signed package of one entry."""
    with member.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    entry = case.entry.format(
        device=device.slots[1], other=device.slots[0], folder=device.folder / "target", zeros=ZEROS
    )
    data = f'filename = "{member.name}"; sha256 = "{digest}"; ' if member.stat().st_size else ""
    text = (
        'software = { version = "1"; hardware-compatibility: [ "1.0" ]; stable = { copy-b = { '
        f"{case.section}: ( {{ {data}{entry} }} ); }}; }}; }}\n"
    ).encode()
    signer = keys.development(device.folder / "keys")
    package = device.folder / "handlers.swu"
    signature = keys.sign(text, signer, time=0)
    files: list[tuple[str, Path | bytes]] = [("sw-description", text), ("sw-description.sig", signature)]
    with package.open("wb") as archive:
        cpio.write(archive, [*files, (member.name, member)])
    return package


def plain() -> Iterator[bytes]:
    """The payload, 1 MiB at a time."""
    for name in ("v1", "v2"):
        with (IMAGES / f"{name}.ext4").open("rb") as image:
            yield from blocks(image)


def make_plain(folder: Path) -> Path:
    return written(folder / "payload", plain())


def make_zlib(folder: Path) -> Path:
    compressor = zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS)
    return written(folder / "payload.gz", compressed(compressor.compress, compressor.flush))


def make_zstd(folder: Path) -> Path:
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    return written(folder / "payload.zst", compressed(compressor.compress, compressor.flush))


def compressed(compress: Callable[[bytes], bytes], flush: Callable[[], bytes]) -> Iterator[bytes]:
    yield from map(compress, plain())
    yield flush()


def make_archive(folder: Path) -> Path:
    """Two thirds of it small files, with the bytes of the images."""
    path = folder / "payload.tar"
    source = plain()
    pieces = (block[at : at + (32 << 10)] for block in source for at in range(0, len(block), 32 << 10))
    with tarfile.open(path, "w") as archive:
        for number in range(16_384):
            add(archive, f"small/{number // 128}/{number}", next(pieces))
        for number in range(8):
            add(archive, f"large/{number}", b"".join(next(source) for _ in range(64)))
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def make_delta(folder: Path) -> Path:
    """From a base that has nothing of it, so that the delta is as large as the payload."""
    signature = b"".join(rsync.signature(io.BytesIO(b"base"), block=1024))
    return written(folder / "payload.rdiff", rsync.delta(signature, Blocks(plain())))


def make_script(folder: Path) -> Path:
    return written(
        folder / "payload.sh", iter([b"#!/bin/sh\nexit 0\n", *(b"#" * (1 << 20) for _ in range(1024))])
    )


def make_nothing(folder: Path) -> Path:
    return written(folder / "unused", iter([b""]))


def written(path: Path, data: Iterator[bytes]) -> Path:
    with path.open("wb") as file:
        file.writelines(data)
    return path


class Blocks:
    """A reader of an iterator's bytes."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        self._rest = self._rest or next(self._source, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


CASES: Final = (
    Case("raw", make_plain, "images", 'type = "raw"; device = "{device}";', against_stock=True),
    Case(
        "raw, zlib",
        make_zlib,
        "images",
        'type = "raw"; device = "{device}"; compressed = "zlib";',
        against_stock=True,
    ),
    Case(
        "raw, zstd",
        make_zstd,
        "images",
        'type = "raw"; device = "{device}"; compressed = "zstd";',
        against_stock=True,
    ),
    Case("archive", make_archive, "files", 'type = "archive"; path = "{folder}";', against_stock=True),
    Case("rawfile", make_plain, "files", 'type = "rawfile"; path = "{folder}/file";'),
    Case(
        "rdiff_image",
        make_delta,
        "images",
        'type = "rdiff_image"; device = "{device}"; properties: {{ rdiffbase = "{other}"; }};',
    ),
    Case("rdiff_file", make_delta, "files", 'type = "rdiff_file"; path = "{folder}/base";'),
    Case(
        "executor",
        make_plain,
        "images",
        'type = "executor"; properties: {{ cmd = "/bin/cat"; parms = ">/dev/null"; }};',
    ),
    Case("dummy", make_plain, "images", 'type = "dummy";'),
    Case("shellscript", make_script, "scripts", 'type = "shellscript";'),
    Case("bootloader", make_plain, "images", 'type = "bootloader";', refused=True),
    Case(
        "rawcopy",
        make_nothing,
        "scripts",
        'type = "rawcopy"; device = "{device}"; '
        'properties: {{ copyfrom = "{other}"; type = "postinstall"; }};',
    ),
    Case(
        "readback",
        make_nothing,
        "scripts",
        'type = "readback"; device = "{device}"; properties: {{ sha256 = "{zeros}"; size = "1073741824"; }};',
    ),
)


def print_rows(rows: list[Row]) -> None:
    head = ["1 GiB", "CPU", "stock", "memory", "stock", "wall", "stock"]
    lines = [
        [
            row.name,
            f"{row.ours.cpu_s:.1f} s",
            f"{row.stock.cpu_s:.1f} s" if row.stock else "",
            megabytes(row.ours.peak_rss_bytes),
            megabytes(row.stock.peak_rss_bytes) if row.stock else "",
            f"{row.ours.wall_s:.1f} s",
            f"{row.stock.wall_s:.1f} s" if row.stock else "",
        ]
        for row in rows
    ]
    lab.print_table("The same package, installed by ours and by stock SWUpdate", head, lines)


if __name__ == "__main__":
    main()
