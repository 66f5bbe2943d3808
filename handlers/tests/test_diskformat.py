"""diskformat, uniqueuuid and gptpart."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.tests.packages import entry, install
from ota.tests import loops
from ota.tests.loops import MIB, found, mounted, part
from ota.tests.world import World, sha256

pytestmark = pytest.mark.tool("sfdisk", "blkid", "mkfs.ext4", "mkfs.vfat", "fatlabel")

SCRIPT = (
    'label: gpt\n1: size=17MiB, name="first"\n2: size=4MiB, name="small"\n'
    '3: size=17MiB, name="twin"\n4: name="twin"\n'
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with loops.disk(tmp_path / "disk", script=SCRIPT) as device:
        yield device


def formatted(world: World, device: Path, **properties: str) -> str | None:
    """The code of the refusal, if it is refused."""
    outcome = install(world, partitions=entry("diskformat", device, properties))
    assert (outcome.status == 0) == (outcome.code is None)
    return outcome.code


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4", "vfat"])
def test_each_kind_of_file_system_is_made(world: World, disk: Path, kind: str) -> None:
    assert formatted(world, part(disk, 1), fstype=kind, fslabel="Data") is None
    assert found(part(disk, 1)) == (kind, "DATA" if kind == "vfat" else "Data")


def test_a_whole_disk_may_be_a_file_system(world: World, tmp_path: Path) -> None:
    with loops.disk(tmp_path / "disk") as disk:
        assert formatted(world, disk, fstype="vfat") is None
        assert found(disk) == ("vfat", "")


def test_a_file_system_of_that_kind_is_kept_without_force(world: World, disk: Path, tmp_path: Path) -> None:
    device = part(disk, 1)
    assert formatted(world, device, fstype="ext4") is None
    with mounted(device, tmp_path / "mnt") as folder:
        (folder / "kept").touch()
    before = device.read_bytes()
    assert formatted(world, device, fstype="ext4") is None
    assert bool(device.read_bytes() == before)
    assert formatted(world, device, fstype="ext4", fslabel="named") is None
    assert found(device) == ("ext4", "named")
    with mounted(device, tmp_path / "mnt") as folder:
        assert (folder / "kept").exists()
        assert formatted(world, device, fstype="ext4", fslabel="named") is None  # nothing is written
        assert formatted(world, device, fstype="ext4", force="true") == "slot-mounted"
        assert formatted(world, device, fstype="vfat") == "slot-mounted"
    assert formatted(world, device, fstype="ext4", force="true") is None
    with mounted(device, tmp_path / "mnt") as folder:
        assert not (folder / "kept").exists()


def test_another_kind_of_file_system_is_replaced(world: World, disk: Path) -> None:
    assert formatted(world, part(disk, 1), fstype="vfat") is None
    assert formatted(world, part(disk, 1), fstype="ext4") is None
    assert found(part(disk, 1)) == ("ext4", "")


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"fstype": "ntfs"},
        {"fstype": "vfat", "fslabel": "twelve chars"},
        {"fstype": "vfat", "fslabel": "a:b"},
        {"fstype": "ext4", "fslabel": "seventeen letters"},
        {"fstype": "ext4", "force": "yes"},
    ],
    ids=str,
)
def test_what_cannot_be_made_is_refused(world: World, disk: Path, properties: dict[str, str]) -> None:
    untouched = world.untouched()
    assert formatted(world, part(disk, 1), **properties) == "description-content"
    assert untouched()


def test_the_running_slot_is_not_formatted(world: World) -> None:
    untouched = world.untouched()
    assert formatted(world, Path("/dev/mmcblk0p2"), fstype="vfat") == "slot-running"
    assert formatted(world, Path("/dev/none"), fstype="ext4") == "slot-unreadable"
    assert untouched()


def test_a_device_that_is_too_small_fails_the_update(world: World, tmp_path: Path) -> None:
    with loops.disk(tmp_path / "disk", size=64 << 10) as tiny:
        assert formatted(world, tiny, fstype="ext4") == "program-failed"
    assert "recovery_status=failed" in world.environment.read_text()


def test_a_uuid_that_is_taken_refuses_the_update(world: World, disk: Path) -> None:
    taken, free = str(uuid.uuid4()), str(uuid.uuid4())
    loops.run("mkfs.ext4", "-q", "-U", taken, part(disk, 1))
    untouched = world.untouched()
    for uuids, code in (([free], None), ([free, taken], "uuid-taken"), ([], "description-content")):
        outcome = install(world, partitions=entry("uniqueuuid", disk, {"fs-uuid": uuids}))
        assert outcome.code == code, uuids
        assert code is None or untouched()
        world.reset()
    assert (
        install(world, partitions=entry("uniqueuuid", disk, {"fs-uuid": "a b"})).code == "description-content"
    )


def write(world: World, disk: Path, volume: str, offset: str = "0") -> str | None:
    digest = sha256(world.v2)
    image = entry("gptpart", disk, filename="v2.ext4", volume=volume, sha256=digest, offset=offset)
    return install(world, world.v2, images=image).code


def test_an_image_is_written_into_the_partition_with_the_name(world: World, disk: Path) -> None:
    assert write(world, disk, "first", offset="64K") is None
    assert bool(part(disk, 1).read_bytes()[65536 : 65536 + 16 * MIB] == world.v2.read_bytes())


@pytest.mark.parametrize(
    ("volume", "code"),
    [("none", "partition-missing"), ("twin", "partition-missing"), ("", "description-content"),
     ("small", "slot-size")],
)  # fmt: skip
def test_a_partition_that_is_not_there_or_too_small_is_refused(
    world: World, disk: Path, volume: str, code: str
) -> None:
    untouched = world.untouched()
    assert write(world, disk, volume) == code
    assert untouched()


def test_the_partition_of_the_running_slot_is_refused(world: World, disk: Path) -> None:
    world.write_config(slots=f'slots.a.device = "{part(disk, 1)}"\nslots.b.device = "slot-b"')
    assert write(world, disk, "first") == "slot-running"


def test_a_disk_without_a_gpt_has_no_names(world: World, tmp_path: Path) -> None:
    with loops.disk(tmp_path / "dos", script="label: dos\n1: size=17MiB\n") as dos:
        assert write(world, dos, "first") == "partition-table"
