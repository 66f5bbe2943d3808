"""What an update takes on the emulated boards: a delta, then rdiff, each from boot to confirmation.

    make bench BENCH=boards
    make bench BENCH=boards JSON=1

Time and CPU are those of a processor that is translated instruction by instruction (QEMU's TCG), some 15
times slower than this machine's own; bytes and memory are what a real board would take.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the tests are not installed
sys.path.insert(0, str(ROOT / "qemu-tests"))

import emulation
import figures
from board import Board
from figures import Figure
from product import BOOTS_S, UPDATES_S, Method, Product

MAX_STORY_S: Final = 240  # boot, update, reboot, health check, confirm
MAX_MEMORY: Final = 48e6  # bytes, of the agent: its limit


@dataclass(frozen=True, slots=True)
class Row:
    """One update."""

    board: str
    method: Method
    took: Mapping[str, float]  # the statistics of `ota --json`
    story_s: float | None  # from power-on to confirmation; None: it did not begin with a power-on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--board", choices=emulation.NAMES, help="only this one")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # that the key is one for development
    rows = [row for name in emulation.NAMES if args.board in (None, name) for row in measure(name)]
    if args.json:
        figures.print_json("boards", judge(rows))
        return
    print("| board | update | fetched | written | memory, peak | CPU | wall | power-on to confirmed |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(text(row))
    print()
    figures.print_text(judge(rows))


def measure(name: str) -> Iterator[Row]:
    """A delta at boot, then rdiff."""
    with tempfile.TemporaryDirectory() as folder, Product(name, Path(folder) / "product") as product:
        two, three = product.release("2.0.0"), product.release("3.0.0")
        product.publish(quietly(lambda: product.pack(two)))
        with product.power_on() as board:
            board.wait(".*2.0.0 is installed in slot b", BOOTS_S + UPDATES_S)
            product.wait_for_trial(board, "b", "2.0.0")
            yield Row(name, Method.DELTA, last(board), board.up_s)
            product.publish(quietly(lambda: product.pack(three, Method.RDIFF, two)))
            product.ota(board, "boot", "--no-reboot", "--json")
            yield Row(name, Method.RDIFF, last(board), None)


def quietly(pack: Callable[[], Path]) -> Path:
    """Keep what the packager says off the table."""
    with redirect_stdout(sys.stderr):
        return pack()


def last(board: Board) -> Mapping[str, float]:
    found = board.run("ota", "status", "--json").answer["last"]
    assert isinstance(found, dict)
    return found


def text(row: Row) -> str:
    took, megabytes = row.took, {name: value / 1e6 for name, value in row.took.items() if "bytes" in name}
    cells = [
        row.board,
        row.method,
        f"{megabytes['fetched_bytes']:.1f} MB",
        f"{megabytes['written_bytes']:.1f} MB",
        f"{megabytes['peak_rss_bytes']:.1f} MB",
        f"{took['cpu_s']:.1f} s",
        f"{took['wall_s']:.0f} s",
        "" if row.story_s is None else f"{row.story_s:.0f} s",
    ]
    return f"| {' | '.join(cells)} |"


def judge(rows: list[Row]) -> Iterator[Figure]:
    for row in rows:
        case = f"{row.board} {row.method}"
        yield Figure(case, "peak_rss_bytes", row.took["peak_rss_bytes"], MAX_MEMORY)
        if row.story_s is not None:
            yield Figure(case, "power_on_to_confirmed_s", round(row.story_s), MAX_STORY_S)


if __name__ == "__main__":
    main()
