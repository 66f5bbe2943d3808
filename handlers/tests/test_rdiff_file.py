"""A file is patched from what it was; with any other base, and with any hostile delta, it stays."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from ota.tests import stock
from ota.tests.entries import SLOT_B, entry, install, make_ext4, mounted, needs_root, package
from ota.tests.world import Outcome, World, sha256

OLD = random.Random(1).randbytes(300_000)
NEW = OLD[:100_000] + b"something new" + OLD[90_000:]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "folder/base"
    path.parent.mkdir()
    path.write_bytes(OLD)
    path.chmod(0o751)
    return path


@pytest.fixture
def delta(world: World, tmp_path: Path) -> Path:
    old, new, signature, delta = (tmp_path / name for name in ("old", "new", "signature", "delta"))
    old.write_bytes(OLD)
    new.write_bytes(NEW)
    subprocess.run([world.tool("rdiff"), "signature", old, signature], check=True)
    subprocess.run([world.tool("rdiff"), "delta", signature, new, delta], check=True)
    return delta


def properties(tmp_path: Path) -> dict[str, str]:
    return {
        "base-size": str(len(OLD)),
        "base-sha256": sha256(tmp_path / "old"),
        "image-size": str(len(NEW)),
        "image-sha256": sha256(tmp_path / "new"),
    }


def patch(world: World, delta: Path, base: Path, **attributes: object) -> Outcome:
    return install(world, delta, files=entry("rdiff_file", delta, path=base, **attributes))


@pytest.mark.parametrize("described", [True, False])
def test_the_new_file_is_in_place_with_the_old_ones_mode(
    world: World, delta: Path, base: Path, tmp_path: Path, described: bool
) -> None:
    assert patch(world, delta, base, properties=properties(tmp_path) if described else {}).status == 0
    assert bool(base.read_bytes() == NEW)
    assert base.stat().st_mode & 0o7777 == 0o751
    assert os.listdir(base.parent) == ["base"]


@pytest.mark.parametrize("damage", ["another", "longer", "shorter"])
def test_a_wrong_base_is_refused_before_anything_is_written(
    world: World, delta: Path, base: Path, tmp_path: Path, damage: str
) -> None:
    wrong = {"another": OLD[:-1] + b"?", "longer": b"?" + OLD, "shorter": OLD[:-1]}[damage]
    base.write_bytes(wrong)
    is_untouched = world.untouched()
    outcome = patch(world, delta, base, properties=properties(tmp_path))
    assert (outcome.status, outcome.code) == (3, "delta-base")
    assert is_untouched() and bool(base.read_bytes() == wrong)


def test_a_missing_base_is_refused(world: World, delta: Path, base: Path) -> None:
    base.unlink()
    assert patch(world, delta, base).code == "path-unusable"
    assert os.listdir(base.parent) == []


@needs_root
def test_a_delta_that_makes_far_too_much_leaves_the_old_file(world: World, tmp_path: Path) -> None:
    tree, delta = tmp_path / "tree", tmp_path / "endless"
    tree.mkdir()
    (tree / "base").write_bytes(OLD)
    make_ext4(world, world.slot_b, tree)
    # librsync: doc/formats.md; 0x54 copies from an offset of 4 bytes a length of 4: 30 GB in all.
    delta.write_bytes(
        struct.pack(">I", 0x72730236) + struct.pack(">BII", 0x4F, 0, len(OLD)) * 100_000 + b"\0"
    )
    outcome = patch(world, delta, Path("/base"), device=SLOT_B, filesystem="ext4")
    assert (outcome.status, outcome.code) == (4, "file-system-full")
    with mounted(world, world.slot_b) as root:
        assert bool((root / "base").read_bytes() == OLD)
        assert sorted(os.listdir(root)) == ["base", "lost+found"]


@pytest.mark.parametrize("size", ["17", "500000"])
def test_a_result_of_another_size_leaves_the_old_file(
    world: World, delta: Path, base: Path, size: str
) -> None:
    assert patch(world, delta, base, properties={"image-size": size}).code == "result-mismatch"
    assert bool(base.read_bytes() == OLD)


@pytest.mark.compat
def test_stock_makes_the_same_file(world: World, delta: Path, base: Path) -> None:
    made = package(world, delta, files=entry("rdiff_file", delta, path=base))
    assert stock.install(world, stock.BACKPORTS, made).installed
    theirs = (base.read_bytes(), base.stat().st_mode)
    base.write_bytes(OLD)
    assert world.ota("install", made).status == 0
    assert bool((base.read_bytes(), base.stat().st_mode) == theirs)
