"""erofs images of mkfs.erofs, against the folder that they were made from and against dump.erofs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ota.errors import ConfigError
from packager import filesystems
from packager.filesystems import Kind
from packager.tests import trees

pytestmark = pytest.mark.tool("mkfs.erofs", "dump.erofs")

VARIANTS = {
    "plain": [],
    "extended inodes": ["-Eforce-inode-extended"],
    "no inline data": ["-Enoinline_data"],
    "lz4": ["-zlz4"],
    "lz4hc, large clusters": ["-zlz4hc,9", "-C65536"],
    "lz4, tails in line": ["-zlz4", "-Eztailpacking"],
    "lz4hc, all of it": ["-zlz4hc", "-C16384", "-Eztailpacking", "-Eforce-inode-extended"],
    "chunks": ["--chunksize=8192"],
    "chunks by index": ["--chunksize=4096", "-Eforce-chunk-indexes"],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = trees.make(tmp_path_factory.mktemp("tree") / "root")
    for name in ("block", "random", "zeros"):
        os.setxattr(tree / name, "user.label", b"the same")
    return tree


def make(tree: Path, path: Path, *options: str) -> Path:
    command = ["mkfs.erofs", "--quiet", "--preserve-mtime", *options, str(path), str(tree)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_file_and_every_byte_of_an_image_is_found(
    tree: Path, tmp_path: Path, options: list[str]
) -> None:
    path = make(tree, tmp_path / "root.erofs", *options)
    with filesystems.opened(path) as system:
        trees.check_files(system, tree)
        layout = system.layout()
    trees.check_layout(layout, path)
    for name in ("/usr/lib/large", "/random", "/usr/share/doc/deep/down/text", "/usr/lib/small"):
        assert told(path, name) == [(e.start, e.stop) for e in layout.extents if e.owner == name], name


def test_what_is_shared_or_stands_between_files_is_metadata(tree: Path, tmp_path: Path) -> None:
    path = make(tree, tmp_path / "root.erofs", "-x1")
    owners = {extent.owner: extent.kind for extent in filesystems.layout(path).extents}
    assert owners["shared attributes"] is owners["inodes"] is owners["superblock"] is Kind.METADATA
    assert owners["/many"] is Kind.DIRECTORY
    assert owners["/usr/lib/some"] is Kind.FILE


@pytest.mark.parametrize("option", ["-Elegacy-compress", "-zlz4"])
def test_old_compression_is_refused_where_it_would_be_read(tree: Path, tmp_path: Path, option: str) -> None:
    path = make(tree, tmp_path / "root.erofs", "-zlz4", option)
    trees.check_layout(filesystems.layout(path), path)
    if option == "-zlz4":
        assert filesystems.read(path, "/usr/lib/some")
    else:
        with pytest.raises(ConfigError, match="filesystem-unknown"):
            filesystems.read(path, "/usr/lib/some")


@pytest.mark.parametrize("options", [["-Eforce-inode-extended"], ["-zlz4", "-C16384"]], ids=["plain", "lz4"])
def test_damage_is_refused_or_read_but_never_endless(tree: Path, tmp_path: Path, options: list[str]) -> None:
    path = make(tree, tmp_path / "root.erofs", *options)
    extents = filesystems.layout(path).extents
    regions = [(e.start, e.stop) for e in extents if e.kind in (Kind.METADATA, Kind.DIRECTORY)]
    trees.check_damage(path, tmp_path / "damaged.erofs", [*regions, (1024, 1152)])


def told(path: Path, name: str) -> list[tuple[int, int]]:
    """Where dump.erofs says that a file's bytes lie, up to where an inode may start; neighbours are one."""
    done = subprocess.run(
        ["dump.erofs", f"--path={name}", "-e", path], check=True, capture_output=True, text=True
    )
    places = re.findall(r"^ +\d+: +\d+\.\. *\d+ \| +\d+ : +(\d+)\.\. *(\d+) \| +\d+$", done.stdout, re.M)
    merged: list[tuple[int, int]] = []
    for start, stop in sorted((int(start), int(stop) + 31 & ~31) for start, stop in places):
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged
