"""A file is replaced as a whole, where its path leads inside its own file system, or nothing is done."""

from __future__ import annotations

import os
import random
import stat
import time
from pathlib import Path

import pytest
import zstandard

from ota.tests import stock
from ota.tests.entries import SLOT_B, entry, install, make_ext4, mounted, needs_root, package
from ota.tests.world import World

NEW = b"the new content\n" * 1000
ON_B = {"device": SLOT_B, "filesystem": "ext4"}
CREATES = {"create-destination": "true"}
ATOMIC = {"atomic-install": "true"}


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "new"
    path.write_bytes(NEW)
    return path


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "conf").write_bytes(b"old")
    return folder


def test_a_file_that_was_there_keeps_mode_owner_and_attributes(
    world: World, payload: Path, etc: Path
) -> None:
    path = etc / "conf"
    path.chmod(0o4751)
    os.setxattr(path, "user.colour", b"blue")
    if os.geteuid() == 0:
        os.chown(path, 1000, 1001)
        path.chmod(0o4751)
    before = path.stat()
    assert install(world, payload, files=entry("rawfile", payload, path=path)).status == 0
    after = path.stat()
    assert bool(path.read_bytes() == NEW)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.getxattr(path, "user.colour") == b"blue"
    assert after.st_ino != before.st_ino
    assert os.listdir(etc) == ["conf"]


def test_files_is_the_section_where_no_type_is_needed_and_a_new_file_is_its_owners_alone(
    world: World, payload: Path, etc: Path
) -> None:
    text = entry("rawfile", payload, path=etc / "fresh").replace('type = "rawfile";', "")
    assert install(world, payload, files=text).status == 0
    assert bool((etc / "fresh").read_bytes() == NEW)
    assert stat.S_IMODE((etc / "fresh").stat().st_mode) == 0o600


def test_missing_folders_are_made_where_that_is_asked_for_only(
    world: World, payload: Path, etc: Path
) -> None:
    path = etc / "a/b/conf"
    outcome = install(world, payload, files=entry("rawfile", payload, path=path))
    assert (outcome.status, outcome.code) == (4, "path-unusable")
    assert "create-destination" in outcome.errors + str(outcome.answer)
    assert not (etc / "a").exists()
    assert install(world, payload, files=entry("rawfile", payload, path=path, properties=CREATES)).status == 0
    assert bool(path.read_bytes() == NEW)
    assert stat.S_IMODE((etc / "a").stat().st_mode) == 0o755


@pytest.mark.parametrize("there", ["folder", "pipe", "/dev/null", "conf/below-a-file"])
def test_what_is_no_file_is_not_replaced(world: World, payload: Path, etc: Path, there: str) -> None:
    (etc / "folder").mkdir()
    os.mkfifo(etc / "pipe")
    is_untouched = world.untouched()
    outcome = install(world, payload, files=entry("rawfile", payload, path=etc / there))
    assert (outcome.status, outcome.code) == (4, "path-unusable")
    assert is_untouched()
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_is_followed_or_with_atomic_install_replaced(world: World, payload: Path, etc: Path) -> None:
    (etc / "link").symlink_to("conf")
    assert install(world, payload, files=entry("rawfile", payload, path=etc / "link")).status == 0
    assert (etc / "link").is_symlink()
    assert bool((etc / "conf").read_bytes() == NEW)
    (etc / "conf").write_bytes(b"old")
    text = entry("rawfile", payload, path=etc / "link", properties=ATOMIC)
    assert install(world, payload, files=text).status == 0
    assert not (etc / "link").is_symlink()
    assert bool((etc / "link").read_bytes() == NEW)
    assert (etc / "conf").read_bytes() == b"old"


def test_links_in_a_circle_are_refused(world: World, payload: Path, etc: Path) -> None:
    (etc / "one").symlink_to("two")
    (etc / "two").symlink_to("one")
    assert install(world, payload, files=entry("rawfile", payload, path=etc / "one")).code == "path-unusable"


@needs_root
def test_no_link_of_a_mounted_file_system_leads_out_of_it(
    world: World, payload: Path, etc: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    inner = tree / str(etc).lstrip("/")
    inner.mkdir(parents=True)
    (inner / "conf").write_bytes(b"inside")
    (tree / "absolute").symlink_to(etc)
    (tree / "climbing").symlink_to("../../../../../.." + str(etc))
    make_ext4(world, world.slot_b, tree)
    for link in ("absolute", "climbing"):
        text = entry("rawfile", payload, path=f"/{link}/conf", **ON_B)
        assert install(world, payload, files=text).status == 0
        with mounted(world, world.slot_b) as root:
            path = root / str(etc).lstrip("/") / "conf"
            assert bool(path.read_bytes() == NEW)
            path.write_bytes(b"inside")
    assert (etc / "conf").read_bytes() == b"old"


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"path": "relative"},
        {"path": "/etc/../conf"},
        {"path": "/conf", "device": SLOT_B},
        {"path": "/conf", "filesystem": "ext4"},
        {"path": "/conf", "device": SLOT_B, "filesystem": "ext4 -o bind"},
    ],
)
def test_a_destination_that_is_not_clear_is_refused(
    world: World, payload: Path, attributes: dict[str, object]
) -> None:
    outcome = install(world, payload, files=entry("rawfile", payload, **attributes))
    assert (outcome.status, outcome.code) == (3, "description-content")


def test_the_running_slot_is_not_mounted_for_it(world: World, payload: Path) -> None:
    text = entry("rawfile", payload, path="/conf", device="/dev/mmcblk0p2", filesystem="ext4")
    assert install(world, payload, files=text).code == "slot-running"


def test_two_entries_for_one_file_are_refused(world: World, payload: Path, etc: Path) -> None:
    texts = f"{entry('rawfile', payload, path=etc / 'conf')}, {entry('rawfile', payload, path=etc / 'conf')}"
    assert install(world, payload, files=texts).code == "target-doubled"


@needs_root
def test_a_file_goes_into_an_image_that_the_same_package_brings(world: World, payload: Path) -> None:
    world.slot_b.write_bytes(bytes(world.slot_b.stat().st_size))
    outcome = install(
        world,
        world.v2,
        payload,
        images=world.raw_entry(world.v2),
        files=entry("rawfile", payload, path="/conf", **ON_B),
    )
    assert outcome.status == 0
    with mounted(world, world.slot_b) as root:
        assert bool((root / "conf").read_bytes() == NEW)
        assert (root / "file99").exists()
    assert world.ota("verify", "b").code == "slot-no-manifest"  # it is not the image any more


@needs_root
def test_a_file_that_does_not_fit_is_refused_before_anything_is_written(world: World, tmp_path: Path) -> None:
    make_ext4(world, world.slot_b, _empty(tmp_path))
    large = tmp_path / "large"
    large.write_bytes(os.urandom(20 << 20))
    is_untouched = world.untouched()
    outcome = install(world, large, files=entry("rawfile", large, path="/large", **ON_B))
    assert (outcome.status, outcome.code) == (4, "file-system-full")
    assert is_untouched()


@needs_root
def test_what_decompresses_to_more_than_there_is_room_for_leaves_the_old_file(
    world: World, tmp_path: Path
) -> None:
    tree = _empty(tmp_path)
    (tree / "conf").write_bytes(b"old")
    make_ext4(world, world.slot_b, tree)
    bomb = tmp_path / "bomb.zst"
    bomb.write_bytes(zstandard.compress(bytes(64 << 20)))
    outcome = install(world, bomb, files=entry("rawfile", bomb, path="/conf", compressed="zstd", **ON_B))
    assert (outcome.status, outcome.code) == (4, "file-system-full")
    assert "<=" in str(outcome.answer)  # it did not come to the last byte
    with mounted(world, world.slot_b) as root:
        assert (root / "conf").read_bytes() == b"old"
        assert sorted(os.listdir(root)) == ["conf", "lost+found"]


@pytest.mark.parametrize(
    "properties", [{"image-size": "17"}, {"image-size": "15000"}, {"image-sha256": "0" * 64}]
)
def test_what_is_not_as_described_leaves_the_old_file(
    world: World, etc: Path, tmp_path: Path, properties: dict[str, str]
) -> None:
    packed = tmp_path / "new.zst"
    packed.write_bytes(zstandard.compress(NEW))
    text = entry("rawfile", packed, path=etc / "conf", compressed="zstd", properties=properties)
    outcome = install(world, packed, files=text)
    assert (outcome.status, outcome.code) == (3, "result-mismatch")
    assert (etc / "conf").read_bytes() == b"old"
    assert os.listdir(etc) == ["conf"]


def test_what_a_killed_run_left_beside_is_written_over(world: World, payload: Path, etc: Path) -> None:
    (etc / ".otakit.new").symlink_to("conf")
    assert install(world, payload, files=entry("rawfile", payload, path=etc / "fresh")).status == 0
    assert (etc / "conf").read_bytes() == b"old"
    assert sorted(os.listdir(etc)) == ["conf", "fresh"]


@pytest.mark.faults
def test_killed_at_any_moment_the_old_file_or_the_new_one_is_there(world: World, tmp_path: Path) -> None:
    old, new, path, chance = os.urandom(8 << 20), os.urandom(8 << 20), tmp_path / "file", random.Random(5)
    payload = tmp_path / "new"
    payload.write_bytes(new)
    made = package(world, payload, files=entry("rawfile", payload, path=path))
    found = set()
    for _ in range(40):
        path.write_bytes(old)
        process = world.start("install", made)
        time.sleep(chance.uniform(0.2, 0.9))
        process.kill()
        process.wait()
        found.add({old: "old", new: "new"}[path.read_bytes()])
    assert found == {"old", "new"}
    assert world.ota("install", made).status == 0
    assert bool(path.read_bytes() == new)
    assert not (tmp_path / ".otakit.new").exists()


@pytest.mark.compat
@pytest.mark.parametrize("path", ["conf", "fresh", "link", "a/fresh"])
def test_stock_leaves_the_same_file(world: World, payload: Path, etc: Path, path: str) -> None:
    (etc / "conf").chmod(0o751)
    (etc / "link").symlink_to("conf")
    made = package(world, payload, files=entry("rawfile", payload, path=etc / path, properties=CREATES))

    def outcome() -> dict[str, tuple[int, bytes]]:
        found = sorted(each for each in etc.rglob("*") if each.is_file())
        return {str(each): (each.lstat().st_mode, each.read_bytes()) for each in found}

    assert stock.install(world, stock.BACKPORTS, made).installed
    theirs = outcome()
    (etc / "conf").write_bytes(b"old")
    for fresh in (etc / "fresh", etc / "a/fresh"):
        fresh.unlink(missing_ok=True)
    assert world.ota("install", made).status == 0
    assert bool(outcome() == theirs)


def _empty(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree
