"""Slots as bytes: one set of rules for a file, a file on tmpfs, and a block device."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import DeviceError
from ota.io.behind import BLOCK
from ota.io.target import Target, is_mounted, same_file

SIZE = 3 * BLOCK + 512  # bytes; a loop device cuts a file to whole sectors
CONTENT = random.Random(5).randbytes(SIZE)


@pytest.fixture(params=["file", "tmpfs", "loop"])
def slot(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    file = Path("/dev/shm" if request.param == "tmpfs" else tmp_path) / f"otakit-test-{os.getpid()}"
    file.write_bytes(CONTENT)
    if request.param != "loop":
        yield file
    else:
        if os.geteuid() and "CI" not in os.environ:
            pytest.skip("a loop device needs root")
        made = subprocess.run(["losetup", "-f", "--show", file], capture_output=True, text=True, check=True)
        yield Path(made.stdout.strip())
        subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)
    file.unlink()


def test_its_size_is_known(slot: Path) -> None:
    with Target(slot) as target:
        assert target.size == SIZE


@pytest.mark.parametrize(
    ("start", "stop"), [(0, SIZE), (0, 1), (4095, 4097), (BLOCK - 1, 2 * BLOCK + 1), (SIZE - 1, SIZE), (7, 7)]
)
def test_any_part_is_scanned_in_order(slot: Path, start: int, stop: int) -> None:
    with Target(slot) as target:
        assert bool(b"".join(map(bytes, target.scan(start, stop))) == CONTENT[start:stop])
        assert bool(target.read_at(start, stop - start) == CONTENT[start:stop])


def test_what_was_written_and_synced_is_scanned(slot: Path) -> None:
    with Target(slot, writable=True) as target:
        target.write_at(BLOCK - 3, b"across")
        target.sync()
        assert b"".join(map(bytes, target.scan(BLOCK - 4, BLOCK + 4)))[1:7] == b"across"


def test_views_may_be_kept_in_slices(slot: Path) -> None:
    with Target(slot) as target:
        total = 0
        for view in target.scan(0, SIZE):
            half = view[len(view) // 2 :]
            total += len(view) - len(half) + len(half)
        assert total == SIZE


def test_behind_the_end_is_an_error(slot: Path) -> None:
    with Target(slot, writable=True) as target:
        for reading in (lambda: target.read_at(SIZE - 1, 2), lambda: list(target.scan(0, SIZE + 1))):
            with pytest.raises(DeviceError) as caught:
                reading()
            assert caught.value.code == "slot-unreadable"
        with pytest.raises(DeviceError) as caught:
            target.write_at(SIZE - 1, b"xx")
        assert caught.value.code == "slot-size"
        assert target.read_at(SIZE - 1, 1) == CONTENT[-1:]


def test_a_missing_one_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        Target(tmp_path / "none")
    assert caught.value.code == "slot-unreadable"


def test_the_same_slot_is_recognised_by_any_name(slot: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(slot)
    assert same_file(slot, link)
    assert not same_file(slot, tmp_path / "none")
    assert not same_file(slot, Path("/dev/null"))


def test_what_nobody_mounted_is_not_mounted(slot: Path) -> None:
    assert not is_mounted(slot)
    assert not is_mounted(slot.parent / "none")


def test_writes_of_any_size_in_any_order_arrive(slot: Path) -> None:
    chance = random.Random(11)
    expected = bytearray(CONTENT)
    with Target(slot, writable=True) as target:
        offset = 0
        for _ in range(300):
            if chance.random() < 0.3:
                offset = chance.randrange(SIZE)
            data = chance.randbytes(chance.choice([1, 511, 512, 4096, 5000, 70_000, 1_500_000]))[
                : SIZE - offset
            ]
            target.write_at(offset, data)
            expected[offset : offset + len(data)] = data
            offset = (offset + len(data)) % SIZE
        target.sync()
        assert bool(b"".join(map(bytes, target.scan(0, SIZE))) == expected)
    with Target(slot) as target:
        assert bool(target.read_at(0, SIZE) == expected)


def test_what_was_written_is_there_after_closing_and_to_read_before(slot: Path) -> None:
    with Target(slot, writable=True) as target:
        target.write_at(100, b"pending")
        assert target.read_at(99, 9)[1:8] == b"pending"
        target.write_at(5000, b"more")
    with Target(slot) as target:
        assert target.read_at(100, 7) + target.read_at(5000, 4) == b"pendingmore"


def test_a_medium_that_fails_is_an_error(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(DeviceError) as caught, Target(full, writable=True) as target:
        target.size = SIZE
        target.write_at(0, bytes(100))
        target.sync()
    assert caught.value.code == "slot-write"
