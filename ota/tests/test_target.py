"""Slots as bytes: one set of rules for a file, a file on tmpfs, and a block device."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import DeviceError
from ota.io.behind import ALIGNMENT, BLOCK, WriteBehind, differences
from ota.io.target import Target, is_mounted, same_file
from ota.io.zeros import make_zero

SIZE = 3 * BLOCK + 512  # bytes; a loop device cuts a file to whole sectors
CONTENT = random.Random(5).randbytes(SIZE)


def everything(target: Target) -> bytes:
    """What the medium holds."""
    return b"".join(map(bytes, target.scan(0, SIZE)))


def resources() -> tuple[int, int]:
    """Threads and descriptors of this process."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def passed_to_write() -> int:
    """Bytes that this process, with all its threads, handed to write calls so far (proc(5), wchar)."""
    return int(Path("/proc/self/io").read_text().split("wchar:")[1].split()[0])


def no_more_than(expected: int, count: int) -> bool:
    """What is counted is the whole process, and pytest may say a word in between."""
    return expected <= count < expected + 2000


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


def test_the_next_block_is_read_while_the_caller_has_this_one(
    slot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = threading.Semaphore(0)

    def preadv(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        got = real(descriptor, buffers, offset)
        read.release()
        return got

    real = os.preadv
    with Target(slot) as target:
        monkeypatch.setattr(os, "preadv", preadv)
        scan = target.scan(0, SIZE)
        first = next(scan)
        assert read.acquire(timeout=10)
        assert read.acquire(timeout=10)
        assert not read.acquire(timeout=0.05)  # no third one: that memory is the caller's
        assert bool(first == CONTENT[:BLOCK])
        assert bool(next(scan) == CONTENT[BLOCK : 2 * BLOCK])


@pytest.mark.parametrize("stop", [SIZE, SIZE + 1], ids=["left early", "failed"])
def test_a_scan_leaves_no_thread_and_no_descriptor(slot: Path, stop: int) -> None:
    with Target(slot) as target:
        before = resources()
        scan = target.scan(0, stop)
        next(scan)
        assert resources() == (before[0] + 1, before[1] + 1)
        if stop > SIZE:
            with pytest.raises(DeviceError):
                list(scan)
        else:
            scan.close()  # type: ignore[attr-defined]  # a generator
        assert resources() == before


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


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DeviceError, match="neither a block device nor a file"):
            Target(path)


def test_the_same_slot_is_recognised_by_any_name(slot: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(slot)
    assert same_file(slot, link)
    assert not same_file(slot, tmp_path / "none")
    assert not same_file(slot, Path("/dev/null"))


def test_what_nobody_mounted_is_not_mounted(slot: Path) -> None:
    assert not is_mounted(slot)
    assert not is_mounted(slot.parent / "none")


@pytest.mark.parametrize("compare", [True, False])
def test_writes_of_any_size_in_any_order_arrive(slot: Path, compare: bool) -> None:
    chance = random.Random(11)
    expected = bytearray(CONTENT)
    with Target(slot, writable=True, compare=compare) as target:
        offset = 0
        for _ in range(300):
            if chance.random() < 0.3:
                offset = chance.randrange(SIZE)
            data = chance.randbytes(chance.choice([1, 511, 512, 4096, 5000, 70_000, 1_500_000]))[
                : SIZE - offset
            ]
            if chance.random() < 0.2:
                target.zero(offset, len(data))
                data = bytes(len(data))
            else:
                target.write_at(offset, data)
            expected[offset : offset + len(data)] = data
            offset = (offset + len(data)) % SIZE
        target.sync()
        assert bool(everything(target) == expected)
    with Target(slot) as target:
        assert bool(target.read_at(0, SIZE) == expected)


def test_what_was_written_is_there_after_closing_and_to_read_before(slot: Path) -> None:
    with Target(slot, writable=True) as target:
        target.write_at(100, b"pending")
        assert target.read_at(99, 9)[1:8] == b"pending"
        target.write_at(5000, b"more")
    with Target(slot) as target:
        assert target.read_at(100, 7) + target.read_at(5000, 4) == b"pendingmore"


@pytest.mark.parametrize(("start", "stop"), [(0, SIZE), (1, 2 * BLOCK + 77), (5000, 5001), (4096, 16384)])
def test_zeroed_bytes_are_zero_to_every_reader_and_others_are_as_they_were(
    slot: Path, start: int, stop: int
) -> None:
    expected = CONTENT[:start] + bytes(stop - start) + CONTENT[stop:]
    with Target(slot, writable=True) as target:
        assert bool(target.read_at(0, SIZE) == CONTENT)  # and so it is in the page cache
        target.zero(start, stop - start)
        assert bool(target.read_at(0, SIZE) == expected)
        assert bool(everything(target) == expected)
        target.sync()
        assert bool(everything(target) == expected)
    assert bool(slot.read_bytes()[:SIZE] == expected)


def test_zeros_and_writes_take_effect_in_their_order(slot: Path) -> None:
    with Target(slot, writable=True) as target:
        target.write_at(BLOCK // 2, b"a" * BLOCK)
        target.zero(BLOCK, BLOCK)
        target.write_at(BLOCK + 100, b"b" * 100)
        part = target.read_at(BLOCK - 1, 301)
    assert part == b"a" + bytes(100) + b"b" * 100 + bytes(100)


def test_zeroing_whole_blocks_writes_nothing(slot: Path, tmp_path: Path) -> None:
    with Target(slot, writable=True) as target:
        os.fsync(target.fileno())  # what has no place on the medium yet is told from nothing
        before = passed_to_write()
        target.zero(BLOCK, BLOCK)
        target.flush()
        assert no_more_than(0, passed_to_write() - before)
    # The hole is in the file itself or, for the loop device, in the file behind it.
    file = next(tmp_path.glob("otakit-test-*"), slot)
    with file.open("rb") as backing:
        assert os.lseek(backing.fileno(), 0, os.SEEK_HOLE) == BLOCK
        assert os.lseek(backing.fileno(), BLOCK, os.SEEK_DATA) == 2 * BLOCK


def test_zeros_are_written_where_the_kernel_knows_no_better(
    slot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "r+b", buffering=0) as device:
        assert not make_zero(device.fileno(), 0, BLOCK)
    monkeypatch.setattr("ota.io.target.make_zero", lambda *what: False)
    with Target(slot, writable=True) as target:
        before = passed_to_write()
        target.zero(1, 2 * BLOCK)
        target.sync()
        assert passed_to_write() - before >= 2 * BLOCK
        assert bool(everything(target) == CONTENT[:1] + bytes(2 * BLOCK) + CONTENT[2 * BLOCK + 1 :])


def test_zeros_that_the_kernel_cannot_make_are_an_error(slot: Path) -> None:
    with slot.open("rb") as readable, pytest.raises(OSError, match="Bad file descriptor"):
        make_zero(readable.fileno(), 0, BLOCK)


def test_what_is_right_already_is_not_written_again(slot: Path) -> None:
    changed = bytearray(CONTENT)
    for place in (10, BLOCK + 8191, SIZE - 1):  # in whole pages and in the last one, which is none
        changed[place] ^= 1
    with Target(slot, writable=True) as target:
        for content, expected in ((CONTENT, 0), (bytes(changed), 2 * ALIGNMENT + 512)):
            before = passed_to_write()
            target.write_at(0, content)
            target.sync()
            assert no_more_than(expected, passed_to_write() - before)
        assert bool(everything(target) == changed)


def test_without_comparing_everything_is_written(slot: Path) -> None:
    with Target(slot, writable=True, compare=False) as target:
        before = passed_to_write()
        target.write_at(0, CONTENT)
        target.flush()
        assert no_more_than(SIZE, passed_to_write() - before)


def test_what_cannot_be_read_to_compare_is_written(slot: Path) -> None:
    cached, direct = (os.open(slot, os.O_WRONLY) for _ in range(2))  # reading: EBADF
    behind = WriteBehind(cached, direct, compare=True)
    behind.put(0, b"x" * 10_000)
    behind.flush()
    behind.close()
    os.close(cached)
    with Target(slot) as target:
        assert target.read_at(0, 10_000) == b"x" * 10_000


@given(st.lists(st.booleans(), max_size=9), st.integers(1, ALIGNMENT))
def test_differences_are_the_blocks_that_differ(same: list[bool], last: int) -> None:
    lengths = [ALIGNMENT] * (len(same) - 1) + [last]
    wanted = b"".join(b"w" * length for length, _ in zip(lengths, same, strict=False))
    found = b"".join((b"w" if ok else b"f") * length for length, ok in zip(lengths, same, strict=False))
    runs = list(differences(memoryview(found), memoryview(wanted)))
    covered = [any(start <= n * ALIGNMENT < stop for start, stop in runs) for n in range(len(same))]
    assert covered == [not ok for ok in same]
    assert sum(stop - start for start, stop in runs) == found.count(b"f")
    assert all(left[1] < right[0] for left, right in pairwise(runs))


def test_only_who_writes_needs_a_thread(slot: Path) -> None:
    before = resources()
    with Target(slot, writable=True) as target:
        target.read_at(0, 10)
        target.sync()
        assert threading.active_count() == before[0]
        target.write_at(0, b"x")
        target.flush()
        assert threading.active_count() == before[0] + 1
    assert resources() == before


@pytest.mark.parametrize(
    "later",
    [
        lambda target: target.write_at(2 * BLOCK, bytes(BLOCK)),
        lambda target: target.read_at(0, 1),
        lambda target: target.zero(0, BLOCK),
        lambda target: next(target.scan(0, 1)),
        lambda target: target.flush(),
        lambda target: target.sync(),
        lambda target: target.close(),
    ],
    ids=["write_at", "read_at", "zero", "scan", "flush", "sync", "close"],
)
def test_a_failed_write_is_told_by_whatever_comes_next(
    tmp_path: Path, later: Callable[[Target], None]
) -> None:
    before = resources()
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    target = Target(full, writable=True)
    target.size = SIZE
    target.write_at(0, b"x" * BLOCK)
    target.write_at(BLOCK, b"x")  # the thread has the first block now
    time.sleep(0.01)
    with pytest.raises(DeviceError) as caught:
        later(target)
    assert caught.value.code == "slot-write"
    assert "No space left" in str(caught.value)
    if resources() != before:
        with pytest.raises(DeviceError):  # the second block's
            target.close()
    assert resources() == before
