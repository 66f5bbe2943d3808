"""toggleboot, gptswap and readback: done when everything was installed, and undone where that fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.tests.packages import Properties, entry, install
from ota.formats.partition_table import Table
from ota.io import partitions
from ota.tests import loops
from ota.tests.loops import part
from ota.tests.world import World

pytestmark = pytest.mark.tool("sfdisk")

NAMED = (
    'label: gpt\n1: size=4MiB, name="boot-a", attrs="LegacyBIOSBootable"\n2: size=4MiB, name="boot-b"\n'
    '3: size=8MiB, name="root-a"\n5: size=8MiB, name="root-b"\n'
)
PRIMARY = (
    "label: dos\nlabel-id: 0x12345678\n1: size=4MiB, bootable\n2: size=4MiB\n"
    "3: size=20MiB, type=5\n5: size=3MiB\n"
)
SWAP: Properties = {"swap-0": ["boot-a", "boot-b"], "swap-1": ["root-a", "root-b"]}


@pytest.fixture
def gpt(tmp_path: Path) -> Iterator[Path]:
    with loops.disk(tmp_path / "gpt", script=NAMED) as device:
        yield device


@pytest.fixture
def dos(tmp_path: Path) -> Iterator[Path]:
    with loops.disk(tmp_path / "dos", script=PRIMARY) as device:
        device.open("r+b").write(b"BOOTCODE")
        yield device


def table(disk: Path) -> Table:
    found = partitions.read(disk)
    assert found
    return found


def names(disk: Path) -> list[tuple[int, str]]:
    return [(partition.number, partition.name) for partition in table(disk).partitions]


def flagged(disk: Path) -> list[int]:
    return [partition.number for partition in table(disk).partitions if partition.bootable]


WRONG = "0" * 64


def fails(disk: Path) -> str:
    """A script that makes the update fail behind the ones before it."""
    return entry("readback", disk, {"sha256": WRONG, "size": "512"})


def test_partitions_swap_their_names_and_nothing_else(world: World, gpt: Path) -> None:
    before = table(gpt)
    assert install(world, scripts=entry("gptswap", gpt, SWAP)).status == 0
    assert names(gpt) == [(1, "boot-b"), (2, "boot-a"), (3, "root-b"), (5, "root-a")]
    after = table(gpt)
    assert before.headers == after.headers
    kept = [(p.number, p.start, p.size, p.type, p.uuid, p.attributes) for p in before.partitions]
    assert kept == [(p.number, p.start, p.size, p.type, p.uuid, p.attributes) for p in after.partitions]
    assert install(world, scripts=entry("gptswap", gpt, SWAP)).status == 0
    assert table(gpt) == before


def test_swaps_go_one_after_the_other(world: World, gpt: Path) -> None:
    chain: Properties = {"swap-0": ["boot-a", "boot-b"], "swap-1": ["boot-a", "root-a"]}
    assert install(world, scripts=entry("gptswap", gpt, chain)).status == 0
    assert names(gpt)[:3] == [(1, "boot-b"), (2, "root-a"), (3, "boot-a")]


def test_names_are_as_before_where_the_update_fails_after_all(world: World, gpt: Path) -> None:
    before = table(gpt)
    scripts = f"{entry('gptswap', gpt, SWAP)}, {fails(gpt)}"
    assert install(world, scripts=scripts).code == "result-mismatch"
    assert table(gpt) == before


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({}, "description-content"),
        ({"swap-0": ["boot-a"]}, "description-content"),
        ({"swap-0": ["boot-a", "boot-b", "root-a"]}, "description-content"),
        ({"swap-0": ["boot-a", "boot-b"], "swap-2": ["root-a", "root-b"]}, "description-content"),
        ({"swap-0": ["boot-a", "none"]}, "partition-missing"),
    ],
    ids=str,
)
def test_swaps_that_make_no_sense_are_refused(
    world: World, gpt: Path, properties: Properties, code: str
) -> None:
    untouched, before = world.untouched(), table(gpt)
    assert install(world, scripts=entry("gptswap", gpt, properties)).code == code
    assert untouched() and table(gpt) == before


def test_a_name_that_two_partitions_have_is_refused(world: World, tmp_path: Path) -> None:
    script = 'label: gpt\n1: size=4MiB, name="a"\n2: size=4MiB, name="a"\n3: size=4MiB, name="b"\n'
    with loops.disk(tmp_path / "disk", script=script) as disk:
        assert (
            install(world, scripts=entry("gptswap", disk, {"swap-0": ["a", "b"]})).code == "partition-missing"
        )


def test_names_of_a_hybrid_table_are_not_swapped(world: World, gpt: Path) -> None:
    beside = "label: dos\n1: start=2048, size=8192, type=c\n2: start=1, size=33, type=ee\n"
    loops.run("sfdisk", "--quiet", "--label-nested", "dos", gpt, feed=beside)
    untouched = world.untouched()
    assert install(world, scripts=entry("gptswap", gpt, SWAP)).code == "partition-table"
    assert untouched()


def test_only_a_gpt_has_names(world: World, dos: Path) -> None:
    assert install(world, scripts=entry("gptswap", dos, SWAP)).code == "partition-table"


def test_the_boot_flag_moves_and_nothing_else(world: World, dos: Path) -> None:
    before = dos.read_bytes()
    assert install(world, scripts=entry("toggleboot", dos, {"partition": "2"})).status == 0
    assert flagged(dos) == [2]
    after = dos.read_bytes()
    assert [at for at in range(512) if before[at] != after[at]] == [446, 462]
    assert bool(before[512:] == after[512:])
    assert install(world, scripts=entry("toggleboot", dos, {"partition": "2"})).status == 0
    assert flagged(dos) == [2]


def test_the_boot_flag_is_as_before_where_the_update_fails_after_all(world: World, dos: Path) -> None:
    before = dos.read_bytes()
    scripts = f"{entry('toggleboot', dos, {'partition': '2'})}, {fails(dos)}"
    assert install(world, scripts=scripts).code == "result-mismatch"
    assert bool(dos.read_bytes() == before)


@pytest.mark.parametrize(
    ("number", "code"),
    [("0", "description-content"), ("5", "description-content"), ("x", "description-content"),
     ("4", "partition-missing")],
)  # fmt: skip
def test_a_partition_that_cannot_have_the_flag_is_refused(
    world: World, dos: Path, number: str, code: str
) -> None:
    untouched = world.untouched()
    assert install(world, scripts=entry("toggleboot", dos, {"partition": number})).code == code
    assert untouched() and flagged(dos) == [1]


def test_a_gpt_has_no_boot_flag(world: World, gpt: Path) -> None:
    assert install(world, scripts=entry("toggleboot", gpt, {"partition": "1"})).code == "partition-table"


def test_both_work_while_the_disk_is_in_use(world: World, gpt: Path, tmp_path: Path) -> None:
    loops.run("mkfs.ext4", "-q", part(gpt, 3))
    with loops.mounted(part(gpt, 3), tmp_path / "mnt"):
        assert install(world, scripts=entry("gptswap", gpt, SWAP)).status == 0
    assert names(gpt)[2] == (3, "root-b")


FAR = 5 << 30  # bytes


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A sparse file of 5 GiB with something behind 4 GiB."""
    file = tmp_path / "far"
    with file.open("wb") as medium:
        medium.truncate(FAR)
        medium.seek((4 << 30) + 12345)
        medium.write(b"behind four gigabytes")
    return file


def test_bytes_behind_four_gigabytes_are_read_back(world: World, far: Path) -> None:
    said = {
        "offset": str((4 << 30) + 12345),
        "size": "21",
        "sha256": hashlib.sha256(b"behind four gigabytes").hexdigest(),
    }
    assert install(world, scripts=entry("readback", far, said)).status == 0
    said["offset"] = "12345"  # where 32 bits would have looked
    assert install(world, scripts=entry("readback", far, said)).code == "result-mismatch"


def test_what_is_not_as_described_fails_the_update_before_it_counts(world: World) -> None:
    before = world.environment.read_text()
    assert (
        install(world, scripts=entry("readback", world.slot_b, {"sha256": WRONG})).code == "result-mismatch"
    )
    assert "boot_slot=a" in before and "boot_slot=b" not in world.environment.read_text()
    assert "recovery_status=failed" in world.environment.read_text()


def test_what_this_very_package_wrote_is_read_back(world: World) -> None:
    image = world.v2.read_bytes()
    said = {"sha256": hashlib.sha256(image).hexdigest(), "size": str(len(image))}
    scripts = entry("readback", Path("/dev/mmcblk0p3"), said)
    outcome = install(world, world.v2, images=world.raw_entry(world.v2), scripts=scripts)
    assert outcome.status == 0


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({}, "description-content"),
        ({"sha256": "1234"}, "description-content"),
        ({"sha256": WRONG, "size": "1K"}, "description-content"),
        ({"sha256": WRONG, "offset": "-1"}, "description-content"),
        ({"sha256": WRONG, "size": str(1 << 40)}, "slot-size"),
        ({"sha256": WRONG, "offset": str(1 << 40)}, "slot-size"),
    ],
    ids=str,
)
def test_a_readback_that_is_not_possible_is_refused(world: World, said: Properties, code: str) -> None:
    untouched = world.untouched()
    assert install(world, scripts=entry("readback", world.slot_b, said)).code == code
    assert untouched()
