"""What each cause that `otapack lint` knows costs a real root file system, and what lint says that it does.

    make bench BENCH=lint                                       # the table
    make bench BENCH=lint ARGS="--only ext4-uuid" JSON=1

The contents of v1 and v2 (a security update) are made into images with one cause and without. Measured is how
much larger the update is with it. Needs root, for the owners of files.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import figures
import lab
from figures import Figure

from packager.lint import lint
from packager.lint.cost import Base
from packager.lint.draft import Draft

IMAGES: Final = lab.BUILD / "images/bench"
FOLDER: Final = lab.BUILD / "bench-lint"

EPOCH: Final = 1735689600
LATER: Final = EPOCH + 30 * 86400
UUIDS: Final = ("6f6d0f6e-7a1b-4c39-9d55-0123456789ab", "11111111-2222-4333-8444-555555555555")
MAX_ERROR: Final = 0.1  # of what is measured
SMALL: Final = 10_000  # bytes; of less than that, an error of a tenth is one chunk


Make = Callable[[str, Path], Path]
"""Makes the image of a release."""


@dataclass(frozen=True, slots=True)
class Case:
    """A cause: how images of v1 and v2 are made without it, and of v2 (or both) with it."""

    code: str
    clean: Make
    caused: Make
    is_in_both: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a figure")
    parser.add_argument("--only", choices=[case.code for case in CASES], help="one cause")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("lint.py: only root can give files the owners that they have in an image")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    found, rows = [], []
    for case in CASES:
        if options.only in (None, case.code):
            lab.say(f"{case.code} ...")
            row = measure(case)
            found.append(
                Figure(
                    case.code, "cost_error", round(abs(row[3] - row[2]) / max(row[2], SMALL), 3), MAX_ERROR
                )
            )
            rows.append([case.code, *(f"{size / 1e6:,.3f} MB" for size in row)])
            lab.say("  ".join(rows[-1]))
    shutil.rmtree(FOLDER)
    if options.json:
        figures.print_json("lint", found)
    else:
        lab.print_table("v1 -> v2", ["cause", "update without", "with", "cost", "lint says"], rows)
        figures.print_text(found)


def measure(case: Case) -> tuple[int, int, int, int]:
    """Bytes of the update without the cause and with it, the difference, and what lint says of it."""
    base, without = _clean(case.clean)
    if case.is_in_both:
        base = case.caused("v1", FOLDER / "v1.caused")
    findings = lint(case.caused("v2", FOLDER / "v2.caused"), base, remake_limit=1 << 30)
    said = {finding.code: finding.cost_bytes for finding in findings.findings}
    now = findings.update_bytes or 0
    return without, now, now - without, said.get(case.code) or 0


@cache
def _clean(make: Make) -> tuple[Path, int]:
    """v1 made so, and bytes of the update to v2 made so."""
    images = [make(release, FOLDER / f"{release}.{id(make)}") for release in ("v1", "v2")]
    size = _update(images[1], images[0])
    images[1].unlink()
    return images[0], size


def _update(image: Path, base: Path) -> int:
    with Draft(base) as old, Draft(image) as new:
        return Base(old).missing(new)


# Contents


def _tree(release: str) -> Path:
    """What is in an image of the bench."""
    tree = FOLDER / release
    if not tree.exists():
        tree.mkdir()
        image = IMAGES / f"{release}.ext4"
        _run("debugfs", "-R", f"rdump / {tree}", image)
        (tree / "lost+found").rmdir()
        for path in (*tree.rglob("*"), tree):
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    return tree


def _stamped(release: str, magic: bytes, at: int, suffix: str, stamp: bytes) -> Path:
    """The same, where all files with these first bytes and this suffix have another time in them."""
    tree = FOLDER / f"{release}{suffix}.{stamp.hex()}"
    _run("cp", "-a", "--reflink=auto", _tree(release), tree)
    for path in tree.rglob("*" + suffix):
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        if data.startswith(magic):
            path.write_bytes(data[:at] + stamp + data[at + len(stamp) :])
            os.utime(path, (EPOCH, EPOCH))
    return tree


def _tar(tree: Path, *, is_shuffled: bool = False) -> Path:
    tar = tree.with_name(f"{tree.name}.tar")
    paths = sorted(path for path in tree.rglob("*"))
    folders = [path for path in paths if path.is_dir() and not path.is_symlink()]
    others = [path for path in paths if not path.is_dir() or path.is_symlink()]
    if is_shuffled:
        random.Random(1).shuffle(others)
    names = tree.with_name(f"{tree.name}.names")
    names.write_text("".join(f"{path.relative_to(tree)}\n" for path in (*folders, *others)))
    _run("tar", "-C", tree, "--no-recursion", "-T", names, "-cf", tar)
    return tar


# Images


def _ext4(image: Path, source: Path, **other: str) -> Path:
    options = {"uuid": UUIDS[0], "seed": UUIDS[0], "journal": "^has_journal", "program": "mke2fs", **other}
    times = {"SOURCE_DATE_EPOCH": other.get("epoch", str(EPOCH))}
    times["E2FSPROGS_FAKE_TIME"] = times["SOURCE_DATE_EPOCH"]
    features = f"^metadata_csum_seed,^orphan_file,{options['journal']}"
    with image.open("wb") as file:
        file.truncate(512 << 20)
    extended = f"hash_seed={options['seed']},lazy_itable_init=0,lazy_journal_init=0"
    words = ["-q", "-t", "ext4", "-b", "4096", "-m", "0", "-I", "256", "-U", options["uuid"], "-O", features]
    _run(options["program"], *words, "-E", extended, "-d", source, image, environment=times)
    if source.suffix == ".tar":
        source.unlink()
    return image


def _of_tar(**options: str) -> Make:
    return lambda release, image: _ext4(image, _tar(_tree(release)), **options)


def _of_folder(**options: str) -> Make:
    return lambda release, image: _ext4(image, _tree(release), **options)


def _of_stamped(magic: bytes, at: int, suffix: str, stamp: bytes) -> Make:
    return lambda release, image: _ext4(image, _tar(_stamped(release, magic, at, suffix, stamp)))


def _squashfs(*options: str) -> Make:
    def make(release: str, image: Path) -> Path:
        fixed = ["-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level", "3"]
        times = {"SOURCE_DATE_EPOCH": str(EPOCH)}
        image.unlink(missing_ok=True)
        _run("mksquashfs", _tree(release), image, *fixed, *options, environment=times)
        return image

    return make


def _run(program: str, *words: str | Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [lab.tool(program), *words],
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{program}: {done.stderr}")


def _cases() -> Iterator[Case]:
    clean = _of_tar()
    yield Case("ext4-uuid", clean, _of_tar(uuid=UUIDS[1]))
    yield Case("ext4-hash-seed", clean, _of_tar(seed=UUIDS[1]))
    yield Case("ext4-times", clean, _of_tar(epoch=str(LATER)))
    yield Case("ext4-old-mke2fs", _of_folder(), _of_folder(program="mke2fs-1.47.0"))
    yield Case("ext4-journal", clean, _of_tar(journal="has_journal"))
    shuffled = lambda release, image: _ext4(image, _tar(_tree(release), is_shuffled=True))  # noqa: E731
    yield Case("ext4-file-order", clean, shuffled)
    yield Case("gzip-time", clean, _of_stamped(b"\x1f\x8b\x08", 4, ".gz", struct.pack("<I", LATER)))
    by_time, later = (_of_stamped(b"", 4, ".pyc", struct.pack("<II", 0, time)) for time in (EPOCH, LATER))
    yield Case("pyc-time", by_time, later)
    clean = _squashfs()
    yield Case("squashfs-block-size", clean, _squashfs("-b", "1M"), is_in_both=True)
    yield Case("squashfs-options", clean, _squashfs("-b", "64K"))


CASES: Final = tuple(_cases())


if __name__ == "__main__":
    main()
