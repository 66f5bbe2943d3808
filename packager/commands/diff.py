"""otapack diff."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from packager.commands import Answer

HELP: Final = "Name the files, and the metadata, that cause the bytes of an update."


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, metavar="OLD", help="an image, or its .zck or manifest")
    parser.add_argument("new", type=Path, metavar="NEW", help="an image")
    parser.add_argument(
        "--zck",
        type=Path,
        metavar="FILE",
        help="of NEW: tells how long its chunks are",
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="print so many (default 20)")


def run(options: argparse.Namespace) -> Answer:
    from packager import diff, inputs

    for name in ("old", "new"):
        inputs.existing(getattr(options, name), name.upper())
    header = diff.manifest(inputs.existing(options.zck, "--zck")) if options.zck else None
    difference = diff.diff(options.old, options.new, header=header)
    return Answer(difference.to_json(), difference.lines(options.top))
