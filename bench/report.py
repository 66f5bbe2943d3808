#!/usr/bin/env python3
"""``report.py``: builds a release of the real images, opens its report in Chromium, and takes its picture.

The release is v3, for devices that have v1 or v2 (`bench/images`). The picture goes to docs/report.png.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the tests are not installed

from packager import cli  # noqa: E402
from packager.tests import browser  # noqa: E402

IMAGES = ROOT / "build" / "images" / "bench"
WIDTH, HEIGHT = 1000, 1500  # of the picture, points: from the top of the page to its map
LARGEST = 200_000  # bytes, of a picture in a README
TIME = "1767225600"

BOARD = """
name = "gateway"
revisions = ["1.0"]
set = "stable"
[slots.a]
device = "/dev/mmcblk0p2"
mode = "copy-a"
bootenv = { boot_slot = "a" }
[slots.b]
device = "/dev/mmcblk0p3"
mode = "copy-b"
bootenv = { boot_slot = "b" }
"""

RELEASE = """
name = "gateway"
version = "3.0.0"
description = "the application learns MQTT"
board = "board.toml"
[[image]]
name = "rootfs"
file = "{images}/v3.{kind}"
type = "delta"
methods = ["zchunk", "rdiff", "full"]
url = "https://updates.example.com/gateway/"
[[base]]
version = "1.0.0"
images = {{ rootfs = "{images}/v1.{kind}" }}
[[base]]
version = "2.0.0"
images = {{ rootfs = "{images}/v2.{kind}" }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="ext4", choices=("ext4", "squashfs", "erofs"))
    parser.add_argument("--report", type=Path, metavar="HTML", help="take this one's picture; build nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "report.png", metavar="PNG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = options.report or build(Path(folder), options.kind)
        with browser.browser(_tool, WIDTH, HEIGHT) as chrome:
            chrome.get(report.resolve().as_uri())
            picture = browser.picture(chrome, WIDTH, HEIGHT)
    if len(picture) > LARGEST:
        sys.exit(f"the picture has {len(picture):,} bytes, more than {LARGEST:,}")
    options.output.write_bytes(picture)
    print(f"{options.output}: {len(picture):,} bytes")


def build(folder: Path, kind: str) -> Path:
    """The report of that release."""
    subprocess.run(
        [ROOT / "bench" / "images" / "make_images.sh", "bench"], env={**os.environ, "KINDS": kind}, check=True
    )
    os.environ["SOURCE_DATE_EPOCH"] = TIME
    (folder / "board.toml").write_text(BOARD)
    release = folder / "release.toml"
    release.write_text(RELEASE.format(images=IMAGES, kind=kind))
    if cli.main(["build", str(release), "-o", str(folder / "out"), "--dev-keys", str(folder / "keys")]):
        sys.exit(1)
    return folder / "out" / "report.html"


def _tool(name: str) -> Path:
    found = shutil.which(name)
    return Path(found) if found else sys.exit(f"{name} is missing: bench/tools/get.py {name}")


if __name__ == "__main__":
    main()
