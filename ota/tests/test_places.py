"""Two entries for one place, by whatever names; and two that only share a device."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ota import decision
from ota.tests.world import World, sha256

PAYLOAD = bytes(range(256)) * 400  # 102,400 bytes


def package(world: World, *places: tuple[str, int, bool]) -> Path:
    """Raw images: device, offset, and whether it is compressed, so that nothing tells its length."""
    plain, packed = world.folder / "plain", world.folder / "packed"
    plain.write_bytes(PAYLOAD)
    packed.write_bytes(gzip.compress(PAYLOAD))
    entries = []
    for device, offset, is_packed in places:
        file, more = (packed, 'compressed = "zlib";') if is_packed else (plain, "")
        entries.append(
            f'{{ filename = "{file.name}"; type = "raw"; device = "{device}"; offset = {offset}; {more} '
            f'sha256 = "{sha256(file)}"; }}'
        )
    return world.make_package(world.description(", ".join(entries)), plain, packed)


@pytest.mark.parametrize("packed", [False, True], ids=["length known", "length unknown"])
@pytest.mark.parametrize("second", [0, 4096, len(PAYLOAD) - 1])
def test_two_that_overlap_are_refused(world: World, second: int, packed: bool) -> None:
    link = world.folder / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(world.slot_b)
    untouched = world.untouched()
    for name in ("/dev/mmcblk0p3", str(link), str(world.slot_b)):
        doubled = package(world, ("/dev/mmcblk0p3", 0, packed), (name, second, False))
        assert world.ota("install", doubled).code == "target-doubled"
    assert untouched()


@pytest.mark.parametrize("packed", [False, True], ids=["length known", "length unknown"])
def test_two_beside_each_other_are_installed(world: World, packed: bool) -> None:
    beside = package(world, ("/dev/mmcblk0p3", len(PAYLOAD), False), ("/dev/mmcblk0p3", 0, packed))
    outcome = world.ota("install", beside)
    assert outcome.status == 0, outcome.errors
    assert bool(world.slot_b.read_bytes().startswith(PAYLOAD * 2))


@pytest.mark.parametrize(
    ("disk", "path", "inside"),
    [
        ("sda", "sda", True),
        ("sda", "sda1", True),
        ("sda", "sdaa", False),
        ("mmcblk0", "mmcblk0p12", True),
        ("loop1", "loop10", False),
        ("loop1", "loop1p1", True),
        ("loop1p1", "loop1p10", False),
    ],
)
def test_an_entry_waits_for_what_is_made_of_its_disk_and_of_no_other(
    tmp_path: Path, disk: str, path: str, inside: bool
) -> None:
    for name in (disk, path):
        (tmp_path / name).touch()
    assert decision.is_of(tmp_path / path, tmp_path / disk) == inside
    assert decision.is_of(tmp_path / "not there yet", tmp_path / disk)
