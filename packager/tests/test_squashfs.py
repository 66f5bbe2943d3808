"""squashfs images of mksquashfs, against the folder that they were made from and what mksquashfs tells."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ota.errors import ConfigError
from packager import filesystems
from packager.filesystems import Kind
from packager.tests import trees

pytestmark = pytest.mark.tool("mksquashfs", "unsquashfs")

VARIANTS = {
    "gzip": ["-comp", "gzip"],
    "xz": ["-comp", "xz", "-Xbcj", "x86"],
    "lz4": ["-comp", "lz4", "-Xhc"],
    "zstd": ["-comp", "zstd", "-Xcompression-level", "3", "-b", "1M"],
    "nothing compressed": ["-noI", "-noD", "-noF", "-noX", "-noId"],
    "no fragments": ["-comp", "lz4", "-no-fragments", "-no-exports", "-b", "4096"],
    "tails of large files too": ["-comp", "zstd", "-tailends", "-no-duplicates", "-no-xattrs"],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = trees.make(tmp_path_factory.mktemp("tree") / "root")
    (tree / "usr/share/same text").write_bytes((tree / "usr/share/doc/deep/down/text").read_bytes())
    return tree


def make(tree: Path, path: Path, *options: str) -> str:
    """What mksquashfs prints."""
    command = ["mksquashfs", str(tree), str(path), "-noappend", "-no-progress", "-processors", "1", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_file_and_every_byte_of_an_image_is_found(
    tree: Path, tmp_path: Path, options: list[str]
) -> None:
    path = tmp_path / "root.squashfs"
    told = make(tree, path, *options)
    with filesystems.opened(path) as system:
        trees.check_files(system, tree)
        layout = system.layout()
    trees.check_layout(layout, path)
    for name in ("Inode", "Directory"):
        (size,) = re.findall(rf"^{name} table size (\d+) bytes", told, re.M)
        owner = f"{name.lower()} table"
        assert [e.stop - e.start for e in layout.extents if e.owner == owner] == [int(size)]


def test_equal_files_are_owned_by_the_first_and_a_tail_by_its_file(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "root.squashfs"
    make(tree, path, "-comp", "gzip", "-tailends")
    owners = {extent.owner for extent in filesystems.layout(path).extents}
    assert "/usr/share/doc/deep/down/text" in owners
    assert "/usr/share/same text" not in owners
    assert "/usr/lib/less" in owners  # 131 bytes, which nothing but a fragment holds


def test_a_compressor_that_is_not_known_is_said(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "root.squashfs"
    make(tree, path, "-comp", "lzo")
    with pytest.raises(ConfigError, match=r"filesystem-unknown.*compressor"):
        filesystems.layout(path)


@pytest.mark.parametrize("compressor", ["gzip", "zstd", "nothing"])
def test_damage_is_refused_or_read_but_never_endless(tree: Path, tmp_path: Path, compressor: str) -> None:
    path = tmp_path / "root.squashfs"
    make(tree, path, *(["-noI", "-noF"] if compressor == "nothing" else ["-comp", compressor]))
    extents = filesystems.layout(path).extents
    regions = [(e.start, e.stop) for e in extents if e.kind is Kind.METADATA]
    regions += [(e.start, e.stop) for e in extents if e.kind is Kind.FILE][:3]
    trees.check_damage(path, tmp_path / "damaged.squashfs", regions, tries=20)
