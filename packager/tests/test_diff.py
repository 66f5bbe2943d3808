"""`otapack diff`: who pays for the bytes of an update, on images of two folders that differ in known ways."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.formats.zchunk import Header
from ota.sync import plan as planning
from ota.sync.plan import Action, Held
from packager import cli, diff, zck
from packager.changes import Change
from packager.filesystems import Kind
from packager.tests import trees

pytestmark = pytest.mark.tool("mke2fs", "mksquashfs", "mkfs.erofs")

_UUID = "6f6d0f6e-7a1b-4c39-9d55-0123456789ab"
_SETTINGS = f"hash_seed={_UUID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
KINDS: Mapping[str, Callable[[str, str], list[str]]] = {
    "ext4": lambda tree, image: [
        "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-U", _UUID, "-E", _SETTINGS, "-d", tree, image, "16M",
    ],
    "squashfs": lambda tree, image: [
        "mksquashfs", tree, image, "-noappend", "-quiet", "-no-progress", "-comp", "zstd",
    ],
    "erofs": lambda tree, image: [
        "mkfs.erofs", "--quiet", "-zlz4", f"-U{_UUID}", "-T1700000000", image, tree,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """KIND.v1; .v2, where all kinds of things happened; .v3, which is v1 with a word of a file changed."""
    folder = tmp_path_factory.mktemp("images")
    v1 = trees.make(folder / "v1")
    for version, change in {"v1": None, "v2": _change_much, "v3": _change_a_word}.items():
        tree = folder / "tree"
        shutil.copytree(v1, tree, symlinks=True)
        if change:
            change(tree)
        for path in [tree, *tree.rglob("*")]:
            os.utime(path, (trees.TIME, trees.TIME), follow_symlinks=False)
        for kind, command in KINDS.items():
            environment = {**os.environ, "SOURCE_DATE_EPOCH": str(trees.TIME)}
            words = command(str(tree), str(folder / f"{kind}.{version}"))
            subprocess.run(words, check=True, capture_output=True, env=environment)
        shutil.rmtree(tree)
    return folder


def _change_much(tree: Path) -> None:
    new = random.Random(4).randbytes(400_000)
    (tree / "usr/new").write_bytes(new)
    (tree / "usr/share/new, once more").write_bytes(new)  # devices fetch it once
    large = (tree / "usr/lib/large").read_bytes()
    (tree / "usr/lib/large").write_bytes(large[:500_000] + b"something else" + large[500_000:])
    (tree / "random").rename(tree / "usr/random under another name")
    (tree / "block").unlink()
    (tree / "usr/lib/some").chmod(0o600)


def _change_a_word(tree: Path) -> None:
    with (tree / "usr/lib/large").open("rb+") as file:
        file.seek(600_000)
        file.write(b"word")


_NEW = ("/usr/new", "/usr/share/new, once more", "/usr/lib/large")
Headers = Callable[[str], Header]


@pytest.fixture(scope="module")
def headers(images: Path) -> Headers:
    """The header of an image's .zck, which lies beside it."""

    def header(name: str) -> Header:
        path = images / f"{name}.zck"
        if not path.exists():
            zck.write(images / name, path)
        return diff.manifest(path)

    return header


@pytest.mark.parametrize("kind", KINDS)
def test_all_bytes_that_a_device_fetches_are_paid_by_somebody(
    images: Path, headers: Headers, kind: str
) -> None:
    v1, v2 = f"{kind}.v1", f"{kind}.v2"
    found = diff.diff(images / v1, images / v2, header=headers(v2))
    plan = planning.make(headers(v2), Held([]), [headers(v1)])
    assert found.missing_bytes == sum(map(headers(v2).coded_length, plan.numbers(Action.FETCH))) > 0
    assert sum(owner.bytes for owner in found.owners) == found.missing_bytes
    assert diff.diff(images / v1, images / v2, header=headers(v2), base=headers(v1)) == found
    assert diff.diff(images / v1, images / v2) == found
    assert found.filesystem == kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_became_of_each_file_is_told(images: Path, kind: str) -> None:
    found = diff.diff(images / f"{kind}.v1", images / f"{kind}.v2")
    assert found.files == {"added": 2, "changed": 1, "moved": 1, "removed": 1, "metadata": 1}
    changes = {owner.path: owner.change for owner in found.owners}
    assert changes["/usr/new"] is Change.ADDED
    assert changes["/usr/lib/large"] is Change.CHANGED
    assert {changes.get("/usr/random under another name", Change.MOVED)} == {Change.MOVED}
    assert not {Change.ADDED, Change.CHANGED} & {
        owner.change for owner in found.owners if owner.kind is Kind.FILE and owner.path not in _NEW
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_did_not_change_does_not_pay_for_its_neighbour(images: Path, kind: str) -> None:
    found = diff.diff(images / f"{kind}.v1", images / f"{kind}.v3")
    assert {owner.path for owner in found.owners if owner.kind is Kind.FILE} == {"/usr/lib/large"}
    if kind == "ext4":
        assert len(found.owners) == 1
    assert found.files == {"added": 0, "changed": 1, "moved": 0, "removed": 0, "metadata": 0}


def test_equal_images_owe_nothing(images: Path) -> None:
    found = diff.diff(images / "ext4.v1", images / "ext4.v1")
    assert (found.missing_bytes, found.owners) == (0, ())
    assert diff.tree(found) == {"name": "ext4.v1", "bytes": 0, "children": []}


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_has_every_byte_once(images: Path, kind: str) -> None:
    found = diff.diff(images / f"{kind}.v1", images / f"{kind}.v2")
    whole = diff.tree(found)
    assert whole["bytes"] == found.missing_bytes

    def check(node: Mapping[str, Any], path: str) -> None:
        if node["children"]:
            assert node["bytes"] == sum(child["bytes"] for child in node["children"])
            sizes = [child["bytes"] for child in node["children"]]
            assert sizes == sorted(sizes, reverse=True)
            for child in node["children"]:
                check(child, f"{path}/{child['name']}")
        else:
            leaves[path] = node["bytes"]

    leaves: dict[str, int] = {}
    check(whole, "")
    assert leaves["/usr/new"] == next(owner.bytes for owner in found.owners if owner.path == "/usr/new")
    assert len(leaves) == len(found.owners)


def test_of_a_manifest_nothing_is_told_but_places(images: Path, headers: Headers) -> None:
    headers("ext4.v1")
    by_image = diff.diff(images / "ext4.v1", images / "ext4.v2")
    by_manifest = diff.diff(images / "ext4.v1.zck", images / "ext4.v2")
    assert by_manifest.missing_bytes == by_image.missing_bytes
    assert sum(owner.bytes for owner in by_manifest.owners) == by_image.missing_bytes
    assert {owner.change for owner in by_manifest.owners} == {Change.CHANGED, Change.METADATA}
    assert by_manifest.files is None
    assert by_manifest.note
    assert "manifest" in by_manifest.note


def test_a_file_system_that_is_not_known_is_told_by_ranges(tmp_path: Path, images: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    data = (images / "ext4.v1").read_bytes() * 2
    old.write_bytes(bytes(4096) + data)
    new.write_bytes(bytes(4096) + data[: 20 << 20] + random.Random(3).randbytes(100_000) + data[20 << 20 :])
    found = diff.diff(old, new)
    assert (found.filesystem, found.files) == (None, None)
    assert found.note
    assert "filesystem-unknown" in found.note
    (owner,) = found.owners
    assert (owner.path, owner.kind) == (f"bytes {16 << 20} to {32 << 20}", Kind.RANGE)
    assert owner.bytes == found.missing_bytes > 100_000


def test_the_command_prints_the_same_for_people_and_programs(
    images: Path, headers: Headers, capsys: pytest.CaptureFixture[str]
) -> None:
    headers("ext4.v2")
    command = ["diff", str(images / "ext4.v1"), str(images / "ext4.v2"), "--zck", str(images / "ext4.v2.zck")]
    assert cli.main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    expected = diff.diff(images / "ext4.v1", images / "ext4.v2", header=headers("ext4.v2"))
    assert answer == json.loads(json.dumps(expected.to_json()))
    assert cli.main([*command, "--top", "2"]) == 0
    text = capsys.readouterr().out
    for owner in expected.owners[:2]:
        assert f"{owner.bytes:,}" in text
        assert owner.path in text
    assert f"{len(expected.owners) - 2} more" in text


def test_bad_input_is_named(
    tmp_path: Path, images: Path, headers: Headers, capsys: pytest.CaptureFixture[str]
) -> None:
    headers("erofs.v1")
    broken = tmp_path / "broken"
    broken.write_bytes((images / "ext4.v1").read_bytes()[:-8192])
    v1, v2 = str(images / "ext4.v1"), str(images / "ext4.v2")
    for arguments, code in (
        ([str(tmp_path / "none"), v2], "file-missing"),
        ([v1, str(tmp_path)], "file-missing"),
        ([v1, str(broken)], "image-unreadable"),
        ([str(broken), v2], "image-unreadable"),
        ([v1, v2, "--zck", str(images / "erofs.v1.zck")], "config-value"),
        ([v1, v2, "--zck", v1], "header-format"),
    ):
        assert cli.main(["diff", *arguments, "--json"]) != 0
        assert json.loads(capsys.readouterr().out)["error"]["code"] == code, arguments


@given(st.integers(0, 10**9), st.dictionaries(st.text(), st.integers(1, 10**9), min_size=1))
def test_parts_make_up_the_whole(total: int, weights: dict[str, int]) -> None:
    parts = diff.divide(total, weights)
    assert sum(parts.values()) == total
    for who, weight in weights.items():
        assert abs(parts[who] - total * weight / sum(weights.values())) < 1 + 1e-6
