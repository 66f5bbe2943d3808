"""Build what is published, beside the programs that others do it with, from real images of 512 MiB.

    make bench BENCH=packager                 # the tables
    make bench BENCH=packager ARGS="--only zck" JSON=1

CPU is user and system time of a program and all that it started, wall is what passed meanwhile. Both programs
of a row run one after the other on the same machine; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import figures
import lab
from figures import Figure
from lab import Run, megabytes

IMAGES: Final = lab.BUILD / "images/bench"
FOLDER: Final = lab.BUILD / "bench-packager"

MAX_WALL: Final = 0.333  # of the zck program's
MAX_CPU: Final = 1.0
MAX_SIZE: Final = 1.01

_WRITE: Final = """
import sys
from pathlib import Path
from packager import zck
zck.write(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a figure")
    parser.add_argument("--only", choices=PARTS, help="one part")
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    found = []
    for name, part in PARTS.items():
        if options.only in (None, name):
            lab.say(f"{name} ...")
            found += part(not options.json)
    shutil.rmtree(FOLDER)
    if options.json:
        figures.print_json("packager", found)
    else:
        figures.print_text(found)


def zck(shown: bool) -> list[Figure]:
    """The .zck of an image: ours, and the zck program's."""
    image, ours, theirs = IMAGES / "v1.ext4", FOLDER / "ours.zck", FOLDER / "theirs.zck"
    lab.same_start(image, image)  # it lies in the page cache for both
    runs = {
        "otapack": _run(sys.executable, "-c", _WRITE, image, ours),
        "zck": _run(lab.tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", theirs, image),
    }
    our, their = runs.values()
    sizes = {"otapack": ours.stat().st_size, "zck": theirs.stat().st_size}
    if shown:
        rows = [_row(name, runs[name], megabytes(sizes[name])) for name in runs]
        lab.print_table("The .zck of 512 MiB ext4", [*HEAD, "size"], rows)
    case = "zck of 512 MiB ext4"
    return [
        Figure(case, "wall_to_zck", round(our.wall_s / their.wall_s, 3), MAX_WALL),
        Figure(case, "cpu_to_zck", round(our.cpu_s / their.cpu_s, 3), MAX_CPU),
        Figure(case, "size_to_zck", round(sizes["otapack"] / sizes["zck"], 4), MAX_SIZE),
    ]


def _run(*command: str | Path) -> Run:
    done = lab.run(*command)
    if done.status:
        sys.exit(f"{command[0]}: {done.errors}")
    return done


def _row(name: str, done: Run, *more: str) -> list[str]:
    return [name, f"{done.wall_s:.1f} s", f"{done.cpu_s:.1f} s", megabytes(done.peak_rss_bytes), *more]


HEAD: Final = ("program", "wall", "CPU", "memory")

PARTS: Final[Mapping[str, Callable[[bool], list[Figure]]]] = {"zck": zck}


if __name__ == "__main__":
    main()
