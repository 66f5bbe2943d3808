from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.tests.packages import Properties, entry, install, pack
from ota.io import disks, partitions
from ota.tests import loops
from ota.tests.loops import MIB, found, mounted, part
from ota.tests.world import Outcome, World, sha256

pytestmark = pytest.mark.tool("sfdisk", "partx", "blkid", "mkfs.ext4", "mkfs.vfat")

EFI = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
UUID = "11111111-2222-3333-4444-555555555555"
TWO: Properties = {
    "labeltype": "gpt",
    "partition-1": ["size=8M", "name=first"],
    "partition-2": ["size=16M", "name=second", f"type={EFI}", f"partuuid={UUID}"],
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with loops.disk(tmp_path / "disk") as device:
        yield device


def repartition(world: World, disk: Path, properties: Properties) -> Outcome:
    return install(world, partitions=entry("diskpart", disk, properties))


def layout(disk: Path) -> list[tuple[int, int, int, str]]:
    table = partitions.read(disk)
    assert table
    return [(entry.number, entry.start, entry.size, entry.name) for entry in table.partitions]


def digest(disk: Path) -> str:
    return hashlib.sha256(disk.read_bytes()).hexdigest()


def test_a_blank_disk_gets_its_partitions_and_their_nodes(world: World, disk: Path) -> None:
    assert repartition(world, disk, TWO).status == 0
    assert layout(disk) == [(1, 2048, 16384, "first"), (2, 18432, 32768, "second")]
    table = partitions.read(disk)
    assert table
    assert (table.label, table.partitions[1].type, table.partitions[1].uuid) == ("gpt", EFI, UUID)
    assert part(disk, 1).is_block_device() and part(disk, 2).is_block_device()


def test_a_disk_that_is_right_is_not_written(world: World, disk: Path) -> None:
    assert repartition(world, disk, TWO).status == 0
    before = digest(disk)
    written = written_sectors(disk)
    assert repartition(world, disk, TWO).status == 0
    assert digest(disk) == before and written_sectors(disk) == written


def written_sectors(disk: Path) -> int:
    subprocess.run(["sync"], check=True)
    return int(Path(f"/sys/block/{disk.name}/stat").read_text().split()[6])


def test_what_a_table_says_of_itself_stays(world: World, tmp_path: Path) -> None:
    script = f"label: gpt\nlabel-id: {UUID}\ntable-length: 64\nfirst-lba: 4096\n1: size=8MiB\n"
    with loops.disk(tmp_path / "disk", script=script) as disk:
        before = partitions.read(disk)
        assert repartition(world, disk, TWO).status == 0
        after = partitions.read(disk)
    assert before and after and before.headers == after.headers
    assert before.partitions[0].uuid == after.partitions[0].uuid
    assert after.partitions[0].start == 4096


@pytest.mark.parametrize("name", ['a "quoted" \\ name', "größer, #; x=1", "x" * 36], ids=str)
def test_any_name_arrives(world: World, disk: Path, name: str) -> None:
    words = name.replace("\\", "\\\\").replace('"', '\\"')
    assert repartition(world, disk, {"labeltype": "gpt", "partition-1": [f"name={words}"]}).status == 0
    assert layout(disk)[0][3] == name


def test_a_dos_table_has_logical_partitions_and_a_boot_flag(world: World, disk: Path) -> None:
    wanted: Properties = {
        "labeltype": "dos",
        "partition-1": ["size=8M", "type=0x0e", "flag=boot"],
        "partition-2": ["type=5"],
        "partition-5": ["size=3M", "type=83"],
        "partition-6": ["size=4M", "type=83"],
    }
    assert repartition(world, disk, wanted).status == 0
    table = partitions.read(disk)
    assert table
    kinds = [(entry.number, entry.type, entry.bootable) for entry in table.partitions]
    assert kinds == [(1, "0e", True), (2, "05", False), (5, "83", False), (6, "83", False)]
    before = digest(disk)
    assert repartition(world, disk, wanted).status == 0
    assert digest(disk) == before
    moved = {**wanted, "partition-1": ["size=12M", "type=0x0e"]}
    assert repartition(world, disk, moved).status == 0
    assert disks.nodes(disk).keys() == {1, 5, 6}


def test_a_hybrid_table_names_some_partitions_twice(world: World, disk: Path) -> None:
    wanted: Properties = {
        "labeltype": "gpt",
        "partition-1": ["size=8M"],
        "partition-2": ["size=9M", "dostype=0x0c"],
    }
    assert repartition(world, disk, wanted).status == 0
    beside = partitions.read(disk, nested=True)
    assert beside
    assert [(entry.start, entry.size, entry.type) for entry in beside.partitions] == [
        (18432, 18432, "0c"),
        (1, 33, "ee"),
    ]
    before = digest(disk)
    assert repartition(world, disk, wanted).status == 0
    assert digest(disk) == before
    assert repartition(world, disk, {**wanted, "partition-2": ["size=9M", "dostype=83"]}).status == 0
    beside = partitions.read(disk, nested=True)
    assert beside and beside.partitions[0].type == "83"


def test_partitions_are_formatted_where_the_table_is_new_and_else_only_where_need_be(
    world: World, disk: Path, tmp_path: Path
) -> None:
    wanted: Properties = {
        "labeltype": "gpt",
        "partition-1": ["size=8M", "fstype=vfat", "fslabel=boot"],
        "partition-2": ["size=16M", "fstype=ext4"],
    }
    assert repartition(world, disk, wanted).status == 0
    assert (found(part(disk, 1)), found(part(disk, 2))) == (("vfat", "BOOT"), ("ext4", ""))
    with mounted(part(disk, 2), tmp_path / "mnt") as folder:
        (folder / "kept").touch()
    assert repartition(world, disk, wanted).status == 0
    with mounted(part(disk, 2), tmp_path / "mnt") as folder:
        assert (folder / "kept").exists()
    forced = {**wanted, "partition-2": ["size=16M", "fstype=ext4", "force=true"]}
    assert repartition(world, disk, forced).status == 0
    with mounted(part(disk, 2), tmp_path / "mnt") as folder:
        assert not (folder / "kept").exists()
        (folder / "kept").touch()
    assert repartition(world, disk, {**wanted, "partition-3": ["name=more"]}).status == 0
    with mounted(part(disk, 2), tmp_path / "mnt") as folder:
        assert not (folder / "kept").exists()


def test_what_a_cut_left_unformatted_is_formatted_by_the_next_try(
    world: World, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repartition(world, disk, TWO).status == 0
    loops.run("mkfs.ext4", "-q", part(disk, 2))
    with mounted(part(disk, 2), tmp_path / "mnt") as folder:
        (folder / "stale").touch()
    wanted = {**TWO, "partition-2": ["size=16M", "name=data", "fstype=ext4"]}
    with monkeypatch.context() as patch:
        patch.setattr(disks, "tell", cut)
        assert repartition(world, disk, wanted).status != 0
    assert layout(disk)[1][3] == "data"
    for is_there in (False, True):
        assert repartition(world, disk, wanted).status == 0
        with mounted(part(disk, 2), tmp_path / "mnt") as folder:
            assert not (folder / "stale").exists() and (folder / "kept").exists() == is_there
            (folder / "kept").touch()


def cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_later_entries_of_the_package_find_the_partitions_that_it_makes(
    world: World, disk: Path, tmp_path: Path
) -> None:
    outcome = install(
        world,
        world.v2,
        partitions=", ".join(
            [
                entry("diskpart", disk, {**TWO, "partition-3": ["name=third"]}),
                entry("diskformat", part(disk, 1), {"fstype": "ext4", "fslabel": "data"}),
            ]
        ),
        images=", ".join(
            [
                entry("raw", part(disk, 2), filename=world.v2.name, sha256=sha256(world.v2)),
                entry("gptpart", disk, filename=world.v2.name, sha256=sha256(world.v2), volume="third"),
            ]
        ),
        scripts=entry("readback", part(disk, 3), {"sha256": sha256(world.v2), "size": str(16 * MIB)}),
    )
    assert outcome.status == 0, outcome.errors
    assert found(part(disk, 1)) == ("ext4", "data")
    assert world.holds(part(disk, 2), world.v2) and world.holds(part(disk, 3), world.v2)


def test_a_script_on_a_disk_that_the_package_changes_is_run_and_undone(world: World, disk: Path) -> None:
    wanted: Properties = {
        "labeltype": "dos",
        "partition-1": ["size=8M", "type=83", "flag=boot"],
        "partition-2": ["size=8M", "type=83"],
    }
    table, toggle = entry("diskpart", disk, wanted), entry("toggleboot", disk, {"partition": "2"})
    assert install(world, partitions=table, scripts=toggle).status == 0
    assert flags(disk) == [False, True]
    wrong = entry("readback", disk, {"sha256": "0" * 64})
    assert install(world, partitions=table, scripts=f"{toggle}, {wrong}").code == "result-mismatch"
    assert flags(disk) == [True, False]


def flags(disk: Path) -> list[bool]:
    table = partitions.read(disk)
    assert table
    return [entry.bootable for entry in table.partitions]


def test_what_makes_no_sense_is_refused_before_anything_is_written(world: World, disk: Path) -> None:
    untouched, before = world.untouched(), digest(disk)
    assert (
        repartition(world, disk, {**TWO, "partition-1": ["size=8M", "szie=3"]}).code == "description-content"
    )
    assert untouched() and digest(disk) == before


def test_a_table_that_is_not_possible_is_refused_before_anything_is_written(world: World, disk: Path) -> None:
    untouched, before = world.untouched(), digest(disk)
    assert repartition(world, disk, {**TWO, "partition-1": ["size=80M"]}).code == "partition-table"
    assert untouched() and digest(disk) == before


def test_a_disk_that_is_none_is_refused(world: World, tmp_path: Path) -> None:
    assert repartition(world, tmp_path / "none", TWO).code == "slot-unreadable"


def test_a_write_protected_disk_is_refused_before_anything_is_written(
    world: World, disk: Path, tmp_path: Path
) -> None:
    untouched = world.untouched()
    protected = Path(loops.run("losetup", "-f", "--show", "--read-only", tmp_path / "disk").strip())
    try:
        assert repartition(world, protected, TWO).code == "slot-write"
    finally:
        loops.run("losetup", "-d", protected)
    assert untouched()


@pytest.fixture
def busy(world: World, disk: Path, tmp_path: Path) -> Iterator[Path]:
    """A disk whose second partition is mounted."""
    assert repartition(world, disk, {**TWO, "partition-3": ["size=8M"]}).status == 0
    loops.run("mkfs.ext4", "-q", part(disk, 2))
    with mounted(part(disk, 2), tmp_path / "mnt"):
        yield disk


THIRD = ["size=8M"]
HARM: dict[str, Properties] = {
    "removed": {"partition-2": []},
    "moved": {"partition-1": ["size=9M"]},
    "cut": {"partition-2": ["size=15M", f"type={EFI}"], "partition-3": [*THIRD, "start=60000"]},
    "renumbered": {
        "partition-2": ["size=8M", "start=51200"],
        "partition-3": ["size=16M", "start=18432"],
        "partition-1": ["size=8M", "start=2048"],
    },
    "another UUID": {"partition-2": ["size=16M", "name=second", "partuuid=" + UUID.replace("1", "2")]},
    "another kind of table": {
        "labeltype": "dos",
        "partition-1": ["size=8M", "type=83"],
        "partition-2": ["size=16M", "type=83"],
        "partition-3": ["size=8M", "type=83"],
    },
    "formatted": {"partition-2": ["size=16M", "name=second", f"type={EFI}", "fstype=ext4", "force=true"]},
    "formatted otherwise": {
        "partition-2": ["size=16M", "name=second", f"type={EFI}", "fstype=vfat"]
    },
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM, ids=str)
def test_what_is_mounted_is_not_harmed(world: World, busy: Path, harm: str) -> None:
    properties = {**TWO, "partition-3": THIRD, "noinuse": "true", **HARM[harm]}
    wanted = {name: value for name, value in properties.items() if value}
    untouched, before = world.untouched(), layout(busy)
    assert repartition(world, busy, wanted).code == "partition-in-use"
    assert untouched() and layout(busy) == before


def test_a_disk_in_use_is_changed_only_on_request(world: World, busy: Path) -> None:
    more = {**TWO, "partition-3": THIRD, "partition-4": ["name=more"]}
    assert repartition(world, busy, more).code == "partition-in-use"
    assert repartition(world, busy, {**more, "noinuse": "true"}).status == 0
    assert [number for number, *_ in layout(busy)] == [1, 2, 3, 4]
    assert part(busy, 4).is_block_device()
    assert partitions.require(busy, "gpt").partitions[1].uuid == UUID


def test_what_is_in_use_may_grow(world: World, busy: Path) -> None:
    grown = {**TWO, "partition-2": ["size=24M", "name=second", f"type={EFI}"], "noinuse": "true"}
    assert repartition(world, busy, grown).status == 0
    assert disks.extents(busy)[2].size == 24 * MIB


def test_a_right_disk_in_use_is_no_problem(world: World, busy: Path) -> None:
    right = ["size=16M", "name=second", f"type={EFI}", "fstype=ext4"]
    assert repartition(world, busy, {**TWO, "partition-2": right, "partition-3": THIRD}).status == 0


def test_another_name_of_the_disk_does_not_help(world: World, busy: Path, tmp_path: Path) -> None:
    (tmp_path / "by-id").symlink_to(busy)
    wanted = {**TWO, "noinuse": "true"}
    for name in (tmp_path / "by-id", tmp_path / "disk"):  # the second: the file that the loop device shows
        assert repartition(world, name, {**wanted, "partition-2": ["size=9M"]}).code == "partition-in-use"


def test_the_running_slot_is_not_moved(world: World, disk: Path) -> None:
    assert repartition(world, disk, TWO).status == 0
    slots = f'slots.a.device = "{part(disk, 2)}"\nslots.b.device = "slot-b"'
    world.write_config(slots=slots)
    moved = {**TWO, "partition-1": ["size=9M"], "noinuse": "true"}
    assert repartition(world, disk, moved).code == "partition-in-use"
    assert repartition(world, disk, {**TWO, "partition-3": THIRD, "noinuse": "true"}).status == 0


def test_of_a_slot_that_is_formatted_it_is_not_known_what_it_holds(world: World, disk: Path) -> None:
    assert repartition(world, disk, TWO).status == 0
    slots = f'slots.a.device = "slot-a"\nslots.b.device = "{part(disk, 2)}"'
    world.write_config(slots=slots)
    assert (
        world.ota(
            "install", world.make_package(world.description(world.raw_entry(world.v2)), world.v2)
        ).status
        == 0
    )
    assert world.ota("verify", "b").status == 0
    formatted = entry("diskformat", part(disk, 2), {"fstype": "ext4", "force": "true"})
    assert install(world, partitions=formatted).status == 0
    assert world.ota("verify", "b").code == "slot-no-manifest"


def test_disks_with_large_sectors_are_partitioned(world: World, tmp_path: Path) -> None:
    with loops.disk(tmp_path / "disk", sector=4096) as disk:
        exact = {**TWO, "partition-2": ["size=4096000", "start=4000"]}
        assert repartition(world, disk, exact).status == 0
        assert layout(disk)[:2] == [(1, 256, 2048, "first"), (2, 4000, 1000, "")]
        assert disks.extents(disk)[2].size == 4_096_000


def test_without_its_programs_nothing_is_begun(
    world: World, disk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    (only / "sfdisk").write_text(f'#!/bin/sh\nexec {world.tool("sfdisk")} "$@"\n')
    (only / "sfdisk").chmod(0o755)
    wanted = {**TWO, "partition-1": ["size=8M", "fstype=vfat"]}
    package = pack(world, partitions=entry("diskpart", disk, wanted))
    before, untouched = digest(disk), world.untouched()
    monkeypatch.setenv("PATH", str(only))
    outcome = world.ota("install", package)
    monkeypatch.undo()
    assert outcome.code == "tool-missing" and "util-linux" in str(outcome.answer)
    assert digest(disk) == before and untouched()
