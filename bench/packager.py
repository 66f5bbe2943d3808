"""Build what is published, beside the programs that others do it with, from real images of 512 MiB.

    make bench BENCH=packager                 # the tables
    make bench BENCH=packager ARGS="--only zck" JSON=1

CPU is user and system time of a program and all that it started, wall is what passed meanwhile. Both programs
of a row run one after the other on the same machine; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import figures
import lab
from figures import Figure
from lab import Run, megabytes

HEAD: Final = ("program", "wall", "CPU", "memory")

IMAGES: Final = lab.BUILD / "images/bench"
FOLDER: Final = lab.BUILD / "bench-packager"

MAX_WALL: Final = 0.333  # of the zck program's
MAX_CPU: Final = 1.0
MAX_SIZE: Final = 1.01
MAX_BUILD: Final = 120.0  # seconds of wall, five bases, zchunk and rdiff
MAX_MEMORY: Final = 1 << 30  # bytes
MAX_ESTIMATE: Final = 1.0  # seconds of wall, from stored manifests
MAX_RDIFF: Final = 1.3  # CPU of the rdiff program's, which hashes neither image

CHANGED: Final = {"1.2.0": ("v1.ext4", 200), "1.3.0": ("v2.ext4", 50), "1.4.0": ("v2.ext4", 1000)}
"""Bases that are made: of an image, with so many pages of noise strewn over it."""

_WRITE: Final = """
import sys
from pathlib import Path
from packager import zck
zck.write(Path(sys.argv[1]), Path(sys.argv[2]))
"""


_DELTA: Final = """
import sys
from pathlib import Path
from packager import rdiff
from packager.compression import Setting
rdiff.write(*map(Path, sys.argv[1:]), 1024, Setting(None, 0))
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


def build(shown: bool) -> list[Figure]:
    """`otapack build` of a release with five bases, and `otapack estimate` of it."""
    (FOLDER / "board.toml").write_text(lab.BOARD_TOML.format(a="/dev/mmcblk0p2", b="/dev/mmcblk0p3"))
    bases = _bases()
    files = [_release(version, image) for version, image in bases.items()]
    several = _otapack("matrix", *files, "-o", FOLDER / "out")
    named = "".join(f'[[base]]\nversion = "{base}"\nfolder = "out/demo-{base}"\n' for base in bases)
    release = _release("2.0.0", IMAGES / "v3.ext4", 'methods = ["zchunk", "rdiff"]', named)
    built = _otapack("build", release, "-o", FOLDER / "out/demo-2.0.0")
    told = _otapack("estimate", release, "--built", FOLDER / "out/demo-2.0.0")
    if shown:
        rows = [
            _row(f"matrix: the {len(bases)} bases, each from none", several),
            _row(f"build, {len(bases)} bases, zchunk and rdiff", built),
            _row("estimate of it, from manifests", told),
        ]
        lab.print_table("otapack, images of 512 MiB", HEAD, rows)
    case = "512 MiB, five bases"
    return [
        Figure(case, "build_wall_s", round(built.wall_s, 1), MAX_BUILD),
        Figure(case, "build_peak_rss_bytes", built.peak_rss_bytes, MAX_MEMORY),
        Figure(case, "estimate_wall_s", round(told.wall_s, 2), MAX_ESTIMATE),
    ]


def rdiff(shown: bool) -> list[Figure]:
    """A delta between two releases: ours, and the rdiff program's; neither is compressed."""
    old, new = (IMAGES / f"{name}.ext4" for name in ("v1", "v2"))
    ours, theirs, signature = (FOLDER / name for name in ("ours.rdiff", "theirs.rdiff", "signature"))
    our = _run(sys.executable, "-c", _DELTA, old, new, ours)
    options = ("-b", "1024", "-S", "16")  # as otapack does
    steps = [
        _run(lab.tool("rdiff"), *options, "signature", old, signature),
        _run(lab.tool("rdiff"), "delta", signature, new, theirs),
    ]
    their = Run(
        0, "", "", *(sum(getattr(step, name) for step in steps) for name in ("wall_s", "cpu_s")),
        max(step.peak_rss_bytes for step in steps),
    )  # fmt: skip
    sizes = [path.stat().st_size for path in (ours, theirs)]
    if shown:
        rows = [
            _row(name, done, megabytes(size))
            for name, done, size in zip(("otapack", "rdiff"), (our, their), sizes, strict=True)
        ]
        lab.print_table("An rdiff delta between images of 512 MiB", [*HEAD, "size"], rows)
    return [
        Figure("rdiff v1 -> v2", "cpu_to_rdiff", round(our.cpu_s / their.cpu_s, 3), MAX_RDIFF),
        Figure("rdiff v1 -> v2", "size_to_rdiff", round(sizes[0] / sizes[1], 4), MAX_SIZE),
    ]


def _bases() -> dict[str, Path]:
    """Five earlier images by version: two releases, and three that differ from them here and there."""
    found = {"1.0.0": IMAGES / "v1.ext4", "1.1.0": IMAGES / "v2.ext4"}
    for version, (source, pages) in CHANGED.items():
        found[version] = FOLDER / f"{version}.ext4"
        chance = random.Random(version)
        subprocess.run(["cp", "--sparse=always", IMAGES / source, found[version]], check=True)
        with found[version].open("r+b") as file:
            for _ in range(pages):
                file.seek(chance.randrange(found[version].stat().st_size // 4096) * 4096)
                file.write(chance.randbytes(4096))
    return found


def _release(version: str, image: Path, more: str = "", bases: str = "") -> Path:
    path = FOLDER / f"{version}.toml"
    path.write_text(
        f'version = "{version}"\nname = "demo"\nboard = "board.toml"\n{bases}'
        f'[[image]]\nname = "rootfs"\nfile = "{image.resolve()}"\ntype = "delta"\n{more}\n'
        'url = "https://updates.example.com/"\n'
    )
    return path


def _otapack(verb: str, *words: str | Path) -> Run:
    keys = () if "--built" in words else ("--dev-keys", FOLDER / "keys")
    return _run(lab.PROGRAMS / "otapack", verb, "-q", *words, *keys)


PARTS: Final[Mapping[str, Callable[[bool], list[Figure]]]] = {
    "zck": zck,
    "build": build,
    "rdiff": rdiff,
}


if __name__ == "__main__":
    main()
