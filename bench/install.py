"""Install the same delta package with ours and with stock SWUpdate, side by side, on real images.

    make bench                   # the table
    make bench BENCH=install JSON=1

Bytes, requests and connections are counted in the web server's log; CPU is user and system time of a
program and all that it started; memory is the peak of its largest process. Each `ota install` reads the
whole slot back, which SWUpdate does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import figures
import lab
import peer
from figures import Figure
from lab import Lab, Run, megabytes

from ota.native.chunker import Chunker

IMAGES: Final = lab.BUILD / "images/bench"
PAIRS: Final = (("v1", "v2"), ("v2", "v3"))

MAX_CPU_S: Final = 3.0
MAX_RSS: Final = 64e6  # bytes
MIN_CHUNKER: Final = 150.0  # MB/s


@dataclass(frozen=True, slots=True)
class Row:
    """One installation."""

    case: str
    program: str
    run: Run
    fetched: int  # bytes of ranges
    requests: int
    connections: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a figure")
    options = parser.parse_args()
    rows = measure()
    found = [
        *evaluate(rows),
        Figure("512 MiB ext4", "chunker_MB_per_s", chunker_speed(), MIN_CHUNKER, "higher"),
    ]
    if options.json:
        figures.print_json("install", found)
    else:
        print_rows(rows)
        figures.print_text(found)


def measure() -> list[Row]:
    device = Lab(lab.BUILD / "bench", (IMAGES / "v1.ext4").stat().st_size)
    with device.running():
        names = sorted({name for pair in PAIRS for name in pair})
        with ThreadPoolExecutor() as pool:
            images = [IMAGES / f"{name}.ext4" for name in names]
            packages = dict(zip(names, pool.map(device.build, names, images), strict=True))
        rows = []
        for old, new in PAIRS:
            case = f"{old} -> {new}"
            for known in (True, False):
                rows.append(install_ours(device, case, old, packages[new], known))
                check(device, new)
            rows.append(install_stock(device, case, old, packages[new]))
            check(device, new)
        return rows


def install_ours(device: Lab, case: str, old: str, package: Path, known: bool) -> Row:
    """`known`: the running slot's manifest is known, as it is from the second update on."""
    prepare(device, old)
    if known:
        device.adopt(device.publish / f"rootfs-{old}.zck")
    before = len(device.server.requests())
    done = device.install(package)
    return counted(device, before, case, "ota" if known else "ota, slot not known", done)


def install_stock(device: Lab, case: str, old: str, package: Path) -> Row:
    prepare(device, old)
    before = len(device.server.requests())
    return counted(device, before, case, peer.STOCK, peer.install(device, package))


def prepare(device: Lab, old: str) -> None:
    """The old release in slot a, which runs; nothing in slot b; the image files out of the way of timing."""
    device.forget()
    device.fill(0, IMAGES / f"{old}.ext4")
    device.empty(1)


def check(device: Lab, new: str) -> None:
    if not lab.same_start(device.slots[1], IMAGES / f"{new}.ext4"):
        sys.exit(f"slot b is not {new}")


def counted(device: Lab, before: int, case: str, program: str, done: Run) -> Row:
    seen = device.server.requests()[before:]
    fetched = sum(request.range_bytes for request in seen)
    return Row(case, program, done, fetched, len(seen), len({request.connection for request in seen}))


def chunker_speed() -> float:
    """MB/s (10^6) of CPU time, one core."""
    chunker = Chunker()
    size, spent = 0, 0.0
    with (IMAGES / "v1.ext4").open("rb") as image:
        while block := image.read(1 << 20):
            start = time.process_time()
            chunker.feed(block)
            spent += time.process_time() - start
            size += len(block)
    return round(size / spent / 1e6)


def evaluate(rows: list[Row]) -> list[Figure]:
    found = []
    for case in dict.fromkeys(row.case for row in rows):
        ours, _, stock = (row for row in rows if row.case == case)
        found += [
            Figure(case, "cpu_s", round(ours.run.cpu_s, 2), MAX_CPU_S),
            Figure(case, "peak_rss_bytes", ours.run.peak_rss_bytes, MAX_RSS),
            Figure(case, "fetched_to_stock", round(ours.fetched / stock.fetched, 4), 1.0),
            Figure(case, "cpu_to_stock", round(ours.run.cpu_s / stock.run.cpu_s, 3), 1.0),
        ]
    return found


def print_rows(rows: list[Row]) -> None:
    head = ["512 MiB ext4", "program", "fetched", "requests", "conn.", "CPU", "memory", "wall"]
    lines = [
        [
            row.case,
            row.program,
            megabytes(row.fetched),
            str(row.requests),
            str(row.connections),
            f"{row.run.cpu_s:.1f} s",
            megabytes(row.run.peak_rss_bytes),
            f"{row.run.wall_s:.1f} s",
        ]
        for row in rows
    ]
    lab.print_table("The same package, installed twice", head, lines)


if __name__ == "__main__":
    main()
