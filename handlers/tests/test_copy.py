"""What lies on the device is copied to another place of it, and never onto what runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ota.tests import stock
from ota.tests.entries import SLOT_B, entry, install, make_ext4, mounted, needs_root, package
from ota.tests.world import SLOT_SIZE, Outcome, World

SLOT_A = "/dev/mmcblk0p2"
PRE, POST = {"type": "preinstall"}, {"type": "postinstall"}


def copy(world: World, kind: str = "copy", **attributes: object) -> Outcome:
    return install(world, scripts=entry(kind, None, **attributes))


def to_b(world: World, kind: str = "rawcopy", **properties: str) -> Outcome:
    return copy(world, kind, device=SLOT_B, properties={"copyfrom": SLOT_A, **properties})


@pytest.mark.parametrize("kind", ["copy", "rawcopy"])
@pytest.mark.parametrize("when", [PRE, POST, {}])
def test_a_slot_is_copied_whole(world: World, kind: str, when: dict[str, str]) -> None:
    assert to_b(world, kind, size="detect", **when).status == 0
    assert bool(world.slot_b.read_bytes() == world.slot_a.read_bytes())


def test_a_part_is_copied_to_where_the_entry_says(world: World) -> None:
    properties = {"copyfrom": SLOT_A, "size": "64K", "offset": "0x1000", **POST}
    assert copy(world, device=SLOT_B, offset="1M", properties=properties).status == 0
    expected = bytearray(b"\xff" * SLOT_SIZE)
    expected[1 << 20 : (1 << 20) + 65536] = world.slot_a.read_bytes()[4096 : 4096 + 65536]
    assert bool(world.slot_b.read_bytes() == expected)


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"size": "1G"}, "slot-size"),
        ({"offset": "1G"}, "slot-size"),
        ({"copyfrom": "/nowhere"}, "slot-unreadable"),
        ({"copyfrom": ""}, "description-content"),
        ({"copyfrom": SLOT_B}, "description-content"),
        ({"type": "postfailure"}, "description-content"),
        ({"chain": "delta"}, "description-content"),
        ({"size": "much"}, "description-content"),
        ({"recursive": "true"}, "description-content"),
    ],
)
def test_what_cannot_be_copied_is_refused_before_anything_is_written(
    world: World, properties: dict[str, str], code: str
) -> None:
    is_untouched = world.untouched()
    assert to_b(world, **{**PRE, **properties}).code == code
    assert is_untouched()


def test_a_source_that_does_not_fit_is_refused(world: World) -> None:
    is_untouched = world.untouched()
    properties = {"copyfrom": SLOT_A, **PRE}
    assert copy(world, device=SLOT_B, offset="4K", properties=properties).code == "slot-size"
    assert is_untouched()


def test_the_running_slot_is_never_written(world: World) -> None:
    properties = {"copyfrom": SLOT_B, **POST}
    is_untouched = world.untouched()
    assert copy(world, device=SLOT_A, properties=properties).code == "slot-running"
    assert is_untouched()


def test_a_copy_afterwards_sees_what_was_installed(world: World, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    outcome = install(
        world,
        world.v2,
        images=world.raw_entry(world.v2),
        scripts=entry(
            "copy",
            path=backup,
            properties={"copyfrom": SLOT_B, "chain": "rawfile", "size": "16M", **POST},
        ),
    )
    assert outcome.status == 0
    assert bool(backup.read_bytes() == world.v2.read_bytes())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "sub/empty").mkdir(parents=True)
    (source / "one").write_bytes(b"one")
    (source / "sub/two").write_bytes(b"two")
    (source / "sub/nothing").write_bytes(b"")
    (source / "link").symlink_to("one")
    os.mkfifo(source / "sub/pipe")
    return source


RECURSIVE = {"chain": "rawfile", "recursive": "true", "create-destination": "true"}
COPIED = ["a", "a/b", "a/b/one", "a/b/sub", "a/b/sub/empty", "a/b/sub/nothing", "a/b/sub/two"]


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("when", [PRE, POST])
def test_a_folder_is_copied_with_its_files(
    world: World, source: Path, tmp_path: Path, when: dict[str, str]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    properties = {"copyfrom": str(source), **RECURSIVE, **when}
    assert copy(world, path=target / "a/b", properties=properties).status == 0
    assert below(target) == COPIED
    assert (target / "a/b/sub/two").read_bytes() == b"two"


@needs_root
def test_a_folder_is_copied_onto_a_file_system_that_is_mounted_for_it(
    world: World, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    make_ext4(world, world.slot_b, tmp_path / "tree")
    properties = {"copyfrom": str(source), **RECURSIVE, **POST}
    outcome = copy(world, path="/a/b", device=SLOT_B, filesystem="ext4", properties=properties)
    assert outcome.status == 0
    with mounted(world, world.slot_b) as root:
        (root / "lost+found").rmdir()
        assert below(root) == COPIED


def test_a_folder_is_not_copied_into_itself(world: World, source: Path) -> None:
    properties = {"copyfrom": str(source), **RECURSIVE, **PRE}
    assert copy(world, path=source / "sub/a", properties=properties).code == "description-content"


def test_a_folder_is_no_file(world: World, source: Path, tmp_path: Path) -> None:
    properties = {"copyfrom": str(source), "chain": "rawfile", **PRE}
    assert copy(world, path=tmp_path / "target", properties=properties).status == 4
    assert not (tmp_path / "target").exists()


@pytest.mark.compat
def test_stock_copies_the_same_slot_and_the_same_folder(world: World, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (source / "sub/pipe").unlink()  # on which it hangs
    folder = entry("copy", path=target / "a", properties={"copyfrom": str(source), **RECURSIVE, **POST})
    slot = entry("copy", device=SLOT_B, properties={"copyfrom": SLOT_A, "chain": "raw", **POST})
    made = package(world, scripts=f"{slot}, {folder}")
    assert stock.install(world, stock.BACKPORTS, made).installed
    assert bool(world.slot_b.read_bytes() == world.slot_a.read_bytes())
    theirs = [(name, (target / name).stat().st_mode) for name in below(target)]
    for name in reversed(below(target)):
        (target / name).rmdir() if (target / name).is_dir() else (target / name).unlink()
    world.slot_b.write_bytes(b"\xff" * SLOT_SIZE)
    assert world.ota("install", made).status == 0
    assert bool(world.slot_b.read_bytes() == world.slot_a.read_bytes())
    assert [(name, (target / name).stat().st_mode) for name in below(target)] == theirs
