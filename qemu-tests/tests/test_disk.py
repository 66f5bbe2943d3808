"""The power-cut disk without a machine: what each kind keeps, and that QEMU understands our server."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import emulator
import pytest
from disk import SECTOR, CachedDisk, Content, Cut, Disk, Emmc, Event, Fate, LyingDisk, Model
from nbd import GoneError, serving

from ota.interfaces import Range

SIZE = 1 << 20


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def sectors(letter: str, count: int = 1) -> bytes:
    return letter.encode() * SECTOR * count


def put(disk: Disk, *writes: tuple[int, bytes]) -> None:
    for sector, data in writes:
        disk.write(sector * SECTOR, data, fua=False)


def at(disk: Disk, sector: int, count: int = 1) -> str:
    """The letters of some sectors; `-` for what the base holds."""
    data = disk.content.read(sector * SECTOR, count * SECTOR)
    pieces = [data[place : place + SECTOR] for place in range(0, len(data), SECTOR)]
    return "".join(chr(piece[0]) if len(set(piece)) == 1 else "-" for piece in pieces)


def test_content_is_the_base_with_what_was_written_over_it(base: Path, tmp_path: Path) -> None:
    chance = random.Random(2)
    content, expected = Content(base), bytearray(base.read_bytes())
    for _ in range(200):
        offset, data = chance.randrange(SIZE - 20_000), chance.randbytes(chance.randrange(20_000))
        content.write(offset, data)
        expected[offset : offset + len(data)] = data
        start = chance.randrange(SIZE)
        assert bool(content.read(start, 9000) == expected[start : start + 9000])
    content.save(tmp_path / "saved")
    assert bool((tmp_path / "saved").read_bytes() == expected)
    assert bool(base.read_bytes() != expected)


def test_a_copy_goes_its_own_way(base: Path) -> None:
    one = Content(base)
    one.write(0, b"both")
    other = one.copy()
    other.write(0, b"mine")
    one.write(100, b"mine")
    assert (one.read(0, 4), other.read(0, 4)) == (b"both", b"mine")
    assert bool(other.read(100, 4) == base.read_bytes()[100:104])


def test_an_emmc_keeps_all_that_it_acknowledged_and_ends_between_two_sectors(base: Path) -> None:
    disk = Disk(Content(base), Emmc())
    disk.arm(Cut(5))
    put(disk, (0, sectors("a", 2)))
    with pytest.raises(GoneError):
        put(disk, (10, sectors("b", 4)))
    assert (at(disk, 0, 3), at(disk, 10, 4)) == ("aa-", "bb--")
    assert disk.wait_for_cut(0)
    with pytest.raises(GoneError):
        disk.read(0, SECTOR)


def test_a_torn_sector_is_half_new(base: Path) -> None:
    disk = Disk(Content(base), Emmc())
    disk.arm(Cut(2, torn=True))
    with pytest.raises(GoneError):
        put(disk, (3, sectors("a", 2)))
    torn = disk.content.read(4 * SECTOR, SECTOR)
    assert torn[: SECTOR // 2] == sectors("a")[: SECTOR // 2]
    assert bool(torn[SECTOR // 2 :] == base.read_bytes()[4 * SECTOR + SECTOR // 2 : 5 * SECTOR])


@pytest.mark.parametrize(("count", "left"), [(1, "aa----"), (2, "aaa---"), (3, "aaaa--")])
def test_a_cut_within_a_place_counts_only_what_is_written_there(base: Path, count: int, left: str) -> None:
    disk = Disk(Content(base), Emmc())
    disk.arm(Cut(count, within=Range(12 * SECTOR, 15 * SECTOR)))
    put(disk, (100, sectors("x", 50)))
    with pytest.raises(GoneError):
        put(disk, (10, sectors("a", 6)))
    assert at(disk, 10, 6) == left


def test_a_cut_after_something_else_counts_from_there(base: Path) -> None:
    disk = Disk(Content(base), CachedDisk(0, Fate.DROPPED))
    slot = Range(10 * SECTOR, 12 * SECTOR)
    disk.arm(Cut(2, Event.FLUSH, after=Cut(2, within=slot)))
    disk.flush()
    put(disk, (10, sectors("a", 2)), (20, sectors("b")))
    disk.flush()
    put(disk, (30, sectors("c")))
    with pytest.raises(GoneError):
        disk.flush()
    assert (at(disk, 10, 2), at(disk, 20), at(disk, 30)) == ("aa", "b", "-")


def test_a_cut_at_a_flush_is_before_it(base: Path) -> None:
    disk = Disk(Content(base), CachedDisk(0, Fate.DROPPED))
    disk.arm(Cut(2, Event.FLUSH))
    put(disk, (0, sectors("a")))
    disk.flush()
    put(disk, (1, sectors("b")))
    with pytest.raises(GoneError):
        disk.flush()
    assert at(disk, 0, 2) == "a-"
    assert disk.lost == SECTOR


def test_what_was_flushed_or_forced_stays_whatever_is_lost(base: Path) -> None:
    for seed in range(50):
        disk = Disk(Content(base), CachedDisk(seed))
        put(disk, (0, sectors("a", 4)), (2, sectors("b", 4)))
        disk.flush()
        put(disk, (3, sectors("c")))
        disk.write(20 * SECTOR, sectors("f", 2), fua=True)
        disk.power_off()
        assert at(disk, 0, 6) in ("aabbbb", "aabcbb")
        assert at(disk, 20, 2) == "ff"


@pytest.mark.parametrize("fate", Fate)
def test_what_was_not_flushed_is_left_as_its_fate_says(base: Path, fate: Fate) -> None:
    seen = set()
    for seed in range(100):
        disk = Disk(Content(base), CachedDisk(seed, fate))
        put(disk, (0, sectors("a", 2)), (2, sectors("b", 2)), (4, sectors("c", 2)))
        disk.power_off()
        seen.add(at(disk, 0, 6))
    in_order = {"aabbcc"[:length].ljust(6, "-") for length in range(7)}
    assert {
        Fate.DROPPED: seen == {"------"},
        Fate.TORN: seen == in_order,
        Fate.REORDERED: "--bb--" in seen and "a-bbcc" in seen and len(seen) > 10,
    }[fate]


def test_overlapping_writes_are_lost_in_any_order_without_mixing_in_what_never_was(base: Path) -> None:
    for seed in range(50):
        disk = Disk(Content(base), CachedDisk(seed))
        put(disk, *((0, sectors(letter, 3)) for letter in "abc"))
        disk.power_off()
        assert set(at(disk, 0, 3)) <= set("abc-")


def test_a_lying_disk_loses_what_it_said_it_had_flushed(base: Path) -> None:
    disk = Disk(Content(base), LyingDisk(0, Fate.DROPPED))
    put(disk, (0, sectors("a")))
    disk.flush()
    disk.power_off()
    assert (at(disk, 0), disk.lost) == ("-", SECTOR)


def test_the_next_power_on_sees_what_the_last_cut_left(base: Path) -> None:
    disk = Disk(Content(base), CachedDisk(0, Fate.DROPPED))
    put(disk, (0, sectors("a")))
    disk.flush()
    put(disk, (1, sectors("b")))
    disk.power_off()
    disk.power_on()
    assert bool(disk.read(0, SECTOR) == sectors("a"))
    assert bool(disk.read(SECTOR, SECTOR) == base.read_bytes()[SECTOR : 2 * SECTOR])
    assert disk.counts == {Event.READ: 2}


def test_the_machine_is_stopped_at_the_cut(base: Path) -> None:
    disk = Disk(Content(base), Emmc())
    stopped = []
    disk.on_cut = lambda: stopped.append(disk.is_on)
    disk.arm(Cut(1))
    with pytest.raises(GoneError):
        put(disk, (0, sectors("a")))
    disk.power_off()
    assert stopped == [False]


@pytest.mark.boards
@pytest.mark.parametrize("model", [Emmc(), CachedDisk(1)], ids=["emmc", "cached"])
def test_qemu_reads_and_writes_it(base: Path, tmp_path: Path, model: Model) -> None:
    disk = Disk(Content(base), model)
    lines = ['{"execute": "qmp_capabilities"}']
    for command in ("write -P 65 1024 1024", "flush", "read -P 65 1024 1024", "read -P 66 1024 512"):
        told = {"command-line": f'qemu-io disk "{command}"'}
        lines.append(json.dumps({"execute": "human-monitor-command", "arguments": told}))
    drive = f"if=none,id=disk,format=raw,file=nbd+unix:///?socket={tmp_path / 'nbd'}"
    with serving(disk, tmp_path / "nbd"):
        said = subprocess.run(
            [emulator.emulator("amd64"), "-machine", "none", "-nodefaults", "-display", "none",
             "-qmp", "stdio", "-drive", drive],
            input="\n".join([*lines, '{"execute": "quit"}\n']), capture_output=True, text=True, timeout=30,
        ).stdout  # fmt: skip
    assert said.count("Pattern verification failed") == 1, said  # the last
    assert at(disk, 2, 2) == "AA"
    assert disk.counts[Event.WRITE] == 2
    assert disk.counts[Event.FLUSH] >= 1 if model.has_cache else not disk.counts[Event.FLUSH]
