"""Shows an emulated board at work.

    python qemu-tests/run.py console qemu-arm64      boots it; the terminal is its console, Ctrl-A x ends it
    python qemu-tests/run.py update qemu-x86_64      boots it, has it find, install and confirm an update

What it needs is made first, which takes some minutes the first time.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

import artefacts
import emulation

sys.path.insert(0, str(artefacts.ROOT))  # the tests of `ota` are not installed
from product import BOOTS_S, UPDATES_S, Product


def main() -> None:
    parser = argparse.ArgumentParser(description="Show an emulated board at work.")
    parser.add_argument("what", choices=("console", "update"))
    parser.add_argument("board", choices=emulation.NAMES)
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    with tempfile.TemporaryDirectory() as folder, Product(args.board, Path(folder) / "product") as product:
        if args.what == "console":
            with product.power_on(terminal=True) as board:
                board.wait_for_end()
        else:
            update(product)


def update(product: Product) -> None:
    """What a device does when its server has a new release; nobody tells it to."""
    product.publish(product.pack(product.release("2.0.0")))
    with product.power_on(terminal=True) as board:
        board.wait(".*2.0.0 is installed in slot b", BOOTS_S + UPDATES_S)
        product.wait_for_trial(board, "b", "2.0.0")
        status = board.run("ota", "status", "--json").answer
        print(f"\nconfirmed {board.up_s:.0f} s after power-on; what the installation took:")
        print(json.dumps(status["last"], indent=2))


if __name__ == "__main__":
    main()
