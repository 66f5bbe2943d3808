"""What an update costs beside what it cannot cost less than, on real images of 512 MiB.

make bench BENCH=engine
make bench BENCH=engine JSON=1
make bench BENCH=engine ARGS="--only links"

floor    CPU of `ota install` against that of the bare programs: sha256, dd, zstd; and its memory
memory   the same for an image of 4 GiB
idle     an update that is installed already, against reading and hashing the slot once
links    slow lines, to a web server and to an object store
race     stock SWUpdate over one of these lines, where a server knows single ranges only
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import big
import figures
import floor
import lab
import links
import packages
import race
from figures import Figure
from floor import Floor
from lab import Lab, Run, megabytes

from ota.formats import zchunk

IMAGES: Final = {name: lab.BUILD / f"images/bench/{name}.ext4" for name in ("v1", "v2", "v3")}
FOLDER: Final = lab.BUILD / "bench-engine"
PAIRS: Final = (("v1", "v2"), ("v2", "v3"))
ROUNDS: Final = 3  # of what is compared in seconds; the best counts, the others met somebody else's work

MAX_CPU_TO_FLOOR: Final = 2.0
MAX_RSS: Final = 64e6  # bytes
MAX_WALL_TO_READ: Final = 1.2


@dataclass(frozen=True, slots=True)
class Bench:
    """A device, and the releases that it can be updated to."""

    device: Lab
    published: Mapping[str, Path]  # .zck files

    def header(self, name: str) -> bytes:
        with self.published[name].open("rb") as file:
            return zchunk.parse_manifest(file.read(zchunk.MAX_HEADER)).data

    def package(self, name: str) -> Path:
        """From the lab's web server."""
        url = f"{self.device.server.url}/{self.published[name].name}"
        return packages.pack(self.device, name, self.header(name), url)

    def prepare(self, old: str) -> None:
        """The old release in slot a, which runs and is known; nothing in slot b."""
        self.device.forget()
        if not lab.same_start(self.device.slots[0], IMAGES[old]):
            self.device.fill(0, IMAGES[old])
        self.device.empty(1)
        self.device.adopt(self.published[old])

    def check(self, new: str) -> None:
        if not lab.same_start(self.device.slots[1], IMAGES[new]):
            sys.exit(f"slot b is not {new}")


@dataclass(frozen=True, slots=True)
class Report:
    """What a part found."""

    figures: list[Figure]
    show: Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line a figure")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be repeated")
    options = parser.parse_args()
    with prepared() as bench:
        for name in options.only or PARTS:
            start = time.monotonic()
            report = PARTS[name](bench)
            lab.say(f"engine: {name} took {time.monotonic() - start:.0f} s")
            if options.json:
                figures.print_json("engine", report.figures)
            else:
                report.show()
                figures.print_text(report.figures)


@contextmanager
def prepared() -> Iterator[Bench]:
    device = Lab(FOLDER / "lab", IMAGES["v1"].stat().st_size)
    with device.running():
        yield Bench(device, packages.publish(device, IMAGES))


def measure_floor(bench: Bench) -> Report:
    rows, found = [], []
    for old, new in PAIRS:
        run, least = _install_and_floor(bench, old, new)
        case, ratio = f"{old} -> {new}", round(run.cpu_s / least.total_s, 2)
        parts = (run.cpu_s, least.total_s, least.hash_s, least.write_s, least.decompress_s)
        rows.append([case, *(f"{part:.2f} s" for part in parts), f"{ratio}", megabytes(run.peak_rss_bytes)])
        found += [
            Figure(case, "cpu_to_floor", ratio, MAX_CPU_TO_FLOOR),
            Figure(case, "peak_rss_bytes", run.peak_rss_bytes, MAX_RSS),
        ]
    head = ["512 MiB ext4", "ota, CPU", "floor", "hash", "write", "unpack", "ota / floor", "memory"]
    return Report(found, lambda: lab.print_table("CPU against the floor", head, rows))


def _install_and_floor(bench: Bench, old: str, new: str) -> tuple[Run, Floor]:
    package = bench.package(new)
    manifests = (bench.published[old], bench.published[new])
    runs, floors = [], []
    for _ in range(ROUNDS):
        bench.prepare(old)
        runs.append(bench.device.install(package))
        bench.check(new)
        written = _number(runs[-1], "written_bytes")
        floors.append(floor.measure(bench.device, IMAGES[new], manifests, written))
    return min(runs, key=lambda run: run.cpu_s), min(floors, key=lambda least: least.total_s)


def measure_memory(bench: Bench) -> Report:
    """Nothing of the small images' device is used but the chunks of one."""
    cut = zchunk.parse_manifest(bench.header("v2"))
    device = Lab(FOLDER / "big", cut.image_size * big.COPIES)
    with device.running():
        made = big.make(IMAGES["v2"], cut, device.slots[0], device.publish / "big.zck")
        manifest = device.folder / "old.zck-header"
        manifest.write_bytes(made.old)
        device.adopt(manifest)
        package = packages.pack(device, "big", made.new, f"{device.server.url}/big.zck")
        run = device.install(package)
        with device.slots[1].open("rb", buffering=0) as slot:
            if hashlib.file_digest(slot, "sha256").hexdigest() != made.sha256:
                sys.exit("slot b is not the big image")
    shutil.rmtree(device.folder)
    row = [
        f"{made.size / (1 << 30):g} GiB",
        f"{len(cut) * big.COPIES:,}",
        megabytes(run.answer["fetched_bytes"]),
        f"{run.cpu_s:.1f} s",
        f"{run.wall_s:.1f} s",
        megabytes(run.peak_rss_bytes),
    ]
    head = ["image", "chunks", "fetched", "CPU", "wall", "memory"]
    return Report(
        [Figure("4 GiB", "peak_rss_bytes", run.peak_rss_bytes, MAX_RSS)],
        lambda: lab.print_table("Memory, where there is much to remember", head, [row]),
    )


def measure_idle(bench: Bench) -> Report:
    package = bench.package("v2")
    bench.prepare("v1")
    bench.device.install(package)
    runs, reads = [], []
    for _ in range(ROUNDS):
        runs.append(bench.device.install(package))
        reads.append(floor.read(bench.device.slots[1]))
    bench.check("v2")
    best, read_s = min(runs, key=lambda run: run.wall_s), min(reads)
    ratio = round(best.wall_s / read_s, 2)
    fetched, written = (_number(best, key) for key in ("fetched_bytes", "written_bytes"))
    row = [f"{best.wall_s:.2f} s", f"{read_s:.2f} s", f"{ratio}", megabytes(fetched), megabytes(written)]
    head = ["ota", "read and hash", "ratio", "fetched", "written"]
    return Report(
        [
            Figure("v2 -> v2", "wall_to_read", ratio, MAX_WALL_TO_READ),
            Figure("v2 -> v2", "fetched_bytes", fetched, 0),
            Figure("v2 -> v2", "written_bytes", written, 0),
        ],
        lambda: lab.print_table("An update that is there already", head, [row]),
    )


def measure_links(bench: Bench) -> Report:
    cells = []
    with links.places(bench.device, "v3", bench.header("v3"), FOLDER / "lab/weed") as places:
        for place in places:
            cells += links.measure(bench.device, place, lambda: bench.prepare("v2"))
            bench.check("v3")
    return Report(links.figures(cells), lambda: links.print_cells(cells))


def measure_race(bench: Bench) -> Report:
    folder = FOLDER / "lab/nginx-single"
    found = race.measure(bench.device, bench.header("v3"), "v3", folder, lambda: bench.prepare("v2"))
    bench.check("v3")
    return Report(race.figures(found), lambda: race.print_runs(found))


def _number(run: Run, key: str) -> int:
    value = run.answer[key]
    assert isinstance(value, int)
    return value


PARTS: Final[Mapping[str, Callable[[Bench], Report]]] = {
    "floor": measure_floor,
    "memory": measure_memory,
    "idle": measure_idle,
    "links": measure_links,
    "race": measure_race,
}


if __name__ == "__main__":
    main()
