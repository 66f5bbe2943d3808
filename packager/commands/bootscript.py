"""otapack bootscript."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from packager import bootscript
from packager.commands import Answer

HELP: Final = "Print the boot loader's script of a board."


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD", help="a name in boards/, or a path ending in .toml")


def run(options: argparse.Namespace) -> Answer:
    script = bootscript.write(options.board, Path())
    return Answer(script.to_json(), script.lines())
