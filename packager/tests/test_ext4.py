"""ext4 images of mke2fs, against the folder that they were made from and against debugfs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ota.errors import ConfigError
from packager import filesystems
from packager.filesystems import Kind
from packager.tests import trees

pytestmark = pytest.mark.tool("mke2fs", "debugfs")

VARIANTS = {
    "blocks of 4 KiB": ["-b", "4096"],
    "blocks of 1 KiB": ["-b", "1024", "-N", "1024"],
    "block maps": ["-b", "1024", "-O", "^extent,^64bit"],
    "inline data": ["-O", "inline_data", "-I", "512"],
    "ext2": ["-O", "none,filetype,ext_attr"],
    "two copies of the superblock": ["-b", "1024", "-O", "sparse_super2,^resize_inode"],
    "no journal, no flexible groups": ["-b", "1024", "-O", "^has_journal,^flex_bg,^metadata_csum"],
    "quotas": ["-O", "quota,project,verity", "-E", "quotatype=usrquota:grpquota:prjquota"],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.make(tmp_path_factory.mktemp("tree") / "root")


@pytest.fixture(scope="module")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default one."""
    return make(tree, tmp_path_factory.mktemp("image") / "root.ext4", "-b", "4096")


def make(tree: Path, path: Path, *options: str) -> Path:
    command = ["mke2fs", "-q", "-t", "ext4", *options, "-d", str(tree), str(path), "16M"]
    subprocess.run(command, check=True)
    return path


def debugfs(image: Path, *requests: str) -> list[str]:
    """What it answers to each."""
    done = subprocess.run(
        ["debugfs", "-f", "-", image], input="\n".join(requests), capture_output=True, text=True, check=True
    )
    return re.split(r"debugfs: .*\n", done.stdout)[1:]


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_file_and_every_byte_of_an_image_is_found(
    tree: Path, tmp_path: Path, options: list[str]
) -> None:
    path = make(tree, tmp_path / "root.ext4", *options)
    with filesystems.opened(path) as system:
        trees.check_files(system, tree)
        layout = system.layout()
    trees.check_layout(layout, path)
    (stats,) = debugfs(path, "stats")
    free, block = (
        int(re.search(rf"^{word}: +(\d+)", stats, re.M)[1])  # type: ignore[index]  # it is there
        for word in ("Free blocks", "Block size")
    )
    assert free * block == sum(e.stop - e.start for e in layout.extents if e.kind is Kind.FREE)


def test_blocks_are_those_that_debugfs_names(image: Path) -> None:
    layout = filesystems.layout(image)
    names = ["/random", "/block", "/usr/lib/some", "/many", "/usr/second name", "/long link", "<8>"]
    owners = {"<8>": "journal", "/usr/second name": "/usr/lib/large"}
    for name, answer in zip(names, debugfs(image, *(f'blocks "{name}"' for name in names)), strict=True):
        owner = owners.get(name, name)
        found = [
            block
            for extent in layout.extents
            if extent.owner == owner
            for block in range(extent.start // 4096, extent.stop // 4096)
        ]
        assert found == sorted(map(int, answer.split())) != [], name


def test_one_file_can_be_read_by_its_name(image: Path, tree: Path) -> None:
    expected = (tree / "usr/lib/some").read_bytes()
    assert bool(filesystems.read(image, "/usr/lib/some") == expected)
    assert bool(filesystems.read(image, "usr/lib/some") == expected)
    for name in ("/usr/lib/none", "/usr/lib", "/short link"):
        with pytest.raises(ConfigError, match="file-missing"):
            filesystems.read(image, name)


def test_a_file_without_a_name_is_unaccounted_not_free(image: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.ext4"
    path.write_bytes(image.read_bytes())
    before = filesystems.layout(path)
    subprocess.run(["debugfs", "-w", "-R", "unlink /random", path], check=True, capture_output=True)
    after = filesystems.layout(path)
    lost = [(e.start, e.stop) for e in after.extents if e.owner == "unaccounted"]
    assert lost == [(e.start, e.stop) for e in before.extents if e.owner == "/random"] != []


def test_a_journal_that_was_not_replayed_is_refused(image: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.ext4"
    path.write_bytes(image.read_bytes())
    subprocess.run(["debugfs", "-w", "-R", "feature needs_recovery", path], check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r"image-unreadable.*e2fsck"):
        filesystems.layout(path)


def test_damage_is_refused_or_read_but_never_endless(image: Path, tmp_path: Path) -> None:
    regions = [
        (extent.start, extent.stop)
        for extent in filesystems.layout(image).extents
        if extent.owner in ("superblock", "group descriptors", "extent trees")
        or extent.kind is Kind.DIRECTORY
    ]
    tables = next(e for e in filesystems.layout(image).extents if e.owner == "inode tables")
    trees.check_damage(image, tmp_path / "damaged.ext4", [*regions, (tables.start, tables.start + 340 * 256)])


@pytest.mark.parametrize("content", [b"", b"abc", bytes(1 << 20)], ids=["empty", "short", "zeros"])
def test_an_unknown_file_system_is_said_not_guessed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="filesystem-unknown"):
        filesystems.layout(path)
