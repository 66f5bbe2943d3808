"""otapack report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from packager import output
from packager.commands import Answer

HELP: Final = "Make a page for people of what a build reports."


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=Path, metavar="REPORT.json", help="as otapack build leaves it")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="REPORT.html")


def run(options: argparse.Namespace) -> Answer:
    from packager import report

    page = report.render(report.read(options.report)).encode()
    folder = options.output.resolve().parent
    with output.staging(folder) as stage:
        (stage / options.output.name).write_bytes(page)
        output.commit(stage, folder, [options.output.name])
    return Answer(
        {"report": str(options.output), "size": len(page)}, [f"{options.output}  {len(page):,} bytes"]
    )
