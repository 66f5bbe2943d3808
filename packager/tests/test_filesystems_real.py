"""The bench images: one tree of Debian packages as ext4, squashfs and erofs, read by our three readers."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path

import pytest

from packager import diff, filesystems, price, zck
from packager.filesystems import Kind

pytestmark = [pytest.mark.build, pytest.mark.tool("debugfs")]

ROOT = Path(__file__).parents[2]
KINDS = ("ext4", "squashfs", "erofs")


@pytest.fixture(scope="module")
def images() -> Path:
    """Made once, which takes minutes."""
    subprocess.run([ROOT / "bench/images/make_images.sh", "bench"], check=True, capture_output=True)
    return ROOT / "build/images/bench"


def test_one_tree_reads_alike_in_three_file_systems(images: Path) -> None:
    trees = []
    for kind in KINDS:
        with filesystems.opened(images / f"v1.{kind}") as system:
            trees.append(
                {
                    file.path: hashlib.sha256(b"".join(system.content(file))).hexdigest()
                    for file in system.files
                    if file.is_file
                }
            )
    assert len(trees[0]) > 10_000
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_real_image_is_laid_out_in_a_few_seconds_and_nothing_is_left_over(images: Path, kind: str) -> None:
    start = time.process_time()
    layout = filesystems.layout(images / f"v2.{kind}")
    assert time.process_time() - start < 5
    assert {e.owner for e in layout.extents if e.owner == "unaccounted"} == set()
    if kind == "ext4":
        told = subprocess.run(
            ["debugfs", "-R", "stats", images / "v2.ext4"], check=True, capture_output=True, text=True
        ).stdout
        (free,) = re.findall(r"^Free blocks: +(\d+)", told, re.M)
        assert int(free) * 4096 == sum(e.stop - e.start for e in layout.extents if e.kind is Kind.FREE)


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_a_device_fetches_is_paid(images: Path, tmp_path: Path, kind: str) -> None:
    headers = [zck.write(images / f"{v}.{kind}", tmp_path / v).header for v in ("v2", "v3")]
    found = diff.diff(images / f"v2.{kind}", images / f"v3.{kind}")
    fetched = price.zchunk(headers[1], headers[0]).fetched_bytes
    assert 0 <= fetched - found.missing_bytes < 1000  # holes between chunks that are asked for along
    assert found.missing_bytes == sum(owner.bytes for owner in found.owners)
    assert found.files == {"added": 23, "changed": 6, "moved": 1, "removed": 0, "metadata": 0}
