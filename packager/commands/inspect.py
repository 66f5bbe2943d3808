"""otapack inspect."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ota.trust import decryption
from ota.trust.decryption import Key
from packager import check
from packager.commands import Answer
from packager.interfaces import Companions

HELP: Final = "Print what is in a package, whoever signed it."


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", type=Path, metavar="PACKAGE")
    add_key(parser)


def run(options: argparse.Namespace) -> Answer:
    contents = check.inspect(options.package, Companions(key=key(options)))
    return Answer(contents.to_json(), contents.lines())


def add_key(parser: argparse.ArgumentParser) -> None:
    """The option of all that look into encrypted artifacts."""
    parser.add_argument(
        "--decrypt-key",
        type=Path,
        metavar="FILE",
        help="look into encrypted artifacts: KEY IV, as swupdate -K",
    )


def key(options: argparse.Namespace) -> Key | None:
    """What that option gives."""
    return decryption.read_key(options.decrypt_key) if options.decrypt_key else None
