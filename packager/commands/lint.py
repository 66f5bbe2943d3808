"""otapack lint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from packager.commands import Answer

HELP: Final = (
    "Name what makes updates of an image large or its builds differ, what it costs, and what mends it."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a file system: ext4, squashfs or erofs")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="OLD",
        help="the image that devices have; gives each finding its bytes",
    )
    parser.add_argument(
        "--remake-below",
        type=int,
        metavar="MIB",
        help="make images again up to this size, to measure what needs it (default: 64, ext4 1024)",
    )


def run(options: argparse.Namespace) -> Answer:
    from packager.lint import lint

    findings = lint(
        options.image,
        options.against,
        remake_limit=None if options.remake_below is None else options.remake_below << 20,
    )
    return Answer(findings.to_json(), findings.lines())
