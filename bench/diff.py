"""Who causes the bytes of an update, by file system, and what it takes to tell.

    make bench BENCH=diff
    make bench BENCH=diff JSON=1

The bench images, v1 -> v2 (security updates) and v2 -> v3 (a change of the application), as ext4, squashfs
and erofs. CPU is that of `packager.diff.diff` alone, without .zck or manifest at hand: it cuts and hashes
both images, compresses what is missing, and compares the files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import figures
import lab
from figures import Figure
from lab import megabytes

from packager import diff
from packager.changes import Change
from packager.diff import Difference

IMAGES: Final = lab.BUILD / "images/bench"
PAIRS: Final = (("v1", "v2"), ("v2", "v3"))
KINDS: Final = ("ext4", "squashfs", "erofs")

MAX_CPU: Final = 10.0  # seconds, for two images of 512 MiB


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of images."""

    case: str
    difference: Difference
    cpu_s: float

    def figures(self) -> Iterator[Figure]:
        yield Figure(self.case, "cpu_s", self.cpu_s, MAX_CPU)
        unpaid = self.difference.missing_bytes - sum(owner.bytes for owner in self.difference.owners)
        yield Figure(self.case, "unpaid_bytes", abs(unpaid), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a figure")
    options = parser.parse_args()
    subprocess.run(
        [lab.ROOT / "bench/images/make_images.sh", "bench"], check=True, stdout=sys.stderr
    )  # all kinds
    rows = [measure(kind, old, new) for kind in KINDS for old, new in PAIRS]
    found = [figure for row in rows for figure in row.figures()]
    if options.json:
        figures.print_json("diff", found)
    else:
        print_rows(rows)
        figures.print_text(found)


def measure(kind: str, old: str, new: str) -> Row:
    lab.say(f"{old} -> {new}, {kind}")
    start = time.process_time()
    difference = diff.diff(image(old, kind), image(new, kind))
    return Row(f"{old} -> {new}, {kind}", difference, round(time.process_time() - start, 1))


def image(version: str, kind: str) -> Path:
    return IMAGES / f"{version}.{kind}"


def print_rows(rows: list[Row]) -> None:
    """The table of packager/README.md."""
    changes = (Change.ADDED, Change.CHANGED, Change.MOVED, Change.METADATA)
    print(f"| | fetched | {' | '.join(changes)} | CPU |")
    print(f"| --- |{' ---: |' * (len(changes) + 2)}")
    for row in rows:
        sums = Counter[Change]()
        for owner in row.difference.owners:
            sums[owner.change] += owner.bytes
        cells = [megabytes(row.difference.missing_bytes), *(megabytes(sums[change]) for change in changes)]
        print(f"| {row.case} | {' | '.join(cells)} | {row.cpu_s} s |")


if __name__ == "__main__":
    main()
