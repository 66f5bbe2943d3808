"""squashfs: what is compressed together changes together.

A file is cut into blocks, and the last bytes of many files share one fragment; each is compressed as a
whole, so that one byte that changes changes all of it, and so do bytes that move within it. What that costs
shows where both images are made again with less in one: smaller blocks, no fragments, no compression.

    superblock              block size 0x0C 4 | compressor 0x14 2 | flags 0x18 2
    with flag 0x400 then    0x60: length 2 | options of the compressor    ("Squashfs Binary Format")
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packager.lint.findings import Finding
from packager.lint.granularity import Step, worthwhile
from packager.lint.order import moved
from packager.lint.pair import Check, Found, Pair
from packager.lint.remake import Maker, Options
from packager.lint.side import Side

PROGRAM: Final = "mksquashfs"
LARGE: Final = 128 << 10  # bytes; mksquashfs's own choice, larger ones are large

_COMPRESSORS: Final = {1: "gzip", 2: "lzma", 4: "xz", 5: "lz4", 6: "zstd"}
_HAS_OPTIONS: Final = 0x400
_FLAGS: Final = {0x1: "-noI", 0x2: "-noD", 0x8: "-noF", 0x10: "-no-fragments", 0x20: "-always-use-fragments"}
_FILTERS: Final = ("x86", "powerpc", "ia64", "arm", "armthumb", "sparc")


def options(side: Side) -> Options:
    """What mksquashfs was told."""
    block, compressor, flags = _block(side), *struct.unpack("<H2xH", side.bytes[0x14:0x1A])
    words = ["-b", str(block), "-comp", _COMPRESSORS[compressor]]
    if flags & _HAS_OPTIONS:
        (size,) = struct.unpack("<H", side.bytes[0x60:0x62])
        words += _compressor_options(_COMPRESSORS[compressor], side.bytes[0x62 : 0x62 + (size & 0x7FFF)])
    return (*words, *(word for flag, word in _FLAGS.items() if flags & flag))


def command(tree: Path, image: Path, options: Options, priorities: Path) -> list[str | Path]:
    """How such an image is made."""
    fixed = ["-noappend", "-quiet", "-no-progress", "-all-root", "-no-xattrs", "-mkfs-time", "0"]
    # An empty list is not the same as none: it turns mksquashfs's own order around.
    sort = ["-sort", str(priorities)] if priorities.stat().st_size else []
    return [PROGRAM, tree, image, *fixed, *sort, *options]


def settings(pair: Pair) -> Iterator[Found]:
    """Other settings than the base has: all that is compressed is another."""
    if pair.old is None:
        return
    now, was = options(pair.new), options(pair.old)
    if now != was:
        what = f"made with {' '.join(now)}, the base with {' '.join(was)}"
        finding = Finding("squashfs-options", what, f"{PROGRAM} ... {' '.join(was)}")
        remake = pair.remake
        yield Found(finding, price=(lambda base, mended: remake.now - remake.update(was)) if remake else None)


def granularity(pair: Pair) -> Iterator[Found]:
    """Large blocks; fragments, and compression at all, where they make most of this update."""
    told = options(pair.old or pair.new)
    yield from worthwhile(list(_steps(told)), told, pair.remake)


def order(pair: Pair) -> Iterator[Found]:
    """The order of files in the image."""
    if pair.old is None or not (files := moved(pair.new, pair.old)):
        return
    finding = Finding(
        "squashfs-file-order",
        f"{files} stand in another order",
        f"{PROGRAM} ... without -sort, or with the same file",
    )
    remake, found = pair.remake, pair.new.order
    yield Found(
        finding, price=(lambda base, mended: remake.update(order=found) - remake.now) if remake else None
    )


MAKER: Final = Maker(PROGRAM, options, command)
"""Makes a squashfs again."""

CHECKS: Final[tuple[Check, ...]] = (settings, granularity, order)
"""All of squashfs."""


def _steps(told: Options) -> Iterator[Step]:
    block = int(told[1])
    if block > LARGE:
        what = f"blocks of {block:,} bytes: one byte that changes changes as many"
        finding = Finding("squashfs-block-size", what, f"{PROGRAM} ... -b 128K")
        yield Step(finding, lambda told: (*told, "-b", "128K"), is_sure=True)
    if "-no-fragments" not in told and "-noF" not in told:
        what = (
            "ends of files are packed together, unaligned: what changes or grows takes its neighbours along"
        )
        finding = Finding("squashfs-fragments", what, f"{PROGRAM} ... -no-fragments")
        yield Step(finding, lambda told: (*told, "-no-fragments"))
    if "-noD" not in told:
        what = f"blocks of {min(block, LARGE):,} bytes are compressed as wholes: small changes become large"
        finding = Finding(
            "squashfs-compression", what, f"{PROGRAM} ... -noD -noF, or ext4; updates are compressed"
        )
        yield Step(finding, lambda told: (*told, "-noD", "-noF"))


def _block(side: Side) -> int:
    return int.from_bytes(side.bytes[0x0C:0x10], "little")


def _compressor_options(name: str, data: bytes) -> list[str]:
    match name:
        case "gzip":  # level 4 | window 2 | strategies 2
            level, window, _ = struct.unpack("<IHH", data)
            return ["-Xcompression-level", str(level), "-Xwindow-size", str(window)]
        case "xz":  # dictionary 4 | filters 4
            dictionary, filters = struct.unpack("<II", data)
            names = [name for bit, name in enumerate(_FILTERS) if filters >> bit & 1]
            return ["-Xdict-size", str(dictionary), *(["-Xbcj", ",".join(names)] if names else [])]
        case "lz4":  # version 4 | 1: the slow one
            return ["-Xhc"] if data[4] & 1 else []
        case "zstd":  # level 4
            return ["-Xcompression-level", str(int.from_bytes(data, "little"))]
        case _:
            return []
