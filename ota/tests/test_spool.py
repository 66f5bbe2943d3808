"""A spooled file: what came stays, what is not the file goes, and nothing is asked for twice."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ota.errors import DeviceError, NetworkError, TrustError
from ota.interfaces import Event, Range
from ota.io import spool
from ota.io.spool import RESERVE, STEP, Spool

DATA = random.Random(5).randbytes(2 * STEP + 1000)


class CutError(BaseException):
    """The end of the process."""


@dataclass
class Source:
    """A RangeSource that ends after so many bytes."""

    data: bytes = DATA
    left: int = 1 << 30
    error: BaseException = field(default_factory=CutError)
    asked: list[Range] = field(default_factory=list)

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
        self.asked += ranges
        for wanted in ranges:
            for offset in range(wanted.start, wanted.stop, 10_000):
                if self.left <= 0:
                    raise self.error
                piece = self.data[offset : min(offset + 10_000, wanted.stop)]
                self.left -= len(piece)
                yield offset, piece


def silent(_: Event) -> None:
    pass


@pytest.fixture
def file(tmp_path: Path) -> Spool:
    return Spool(tmp_path, len(DATA), hashlib.sha256(DATA).hexdigest())


def is_there(file: Spool) -> bool:
    with file.open() as stream:
        return stream.read() == DATA


def test_a_file_is_fetched_once(file: Spool) -> None:
    source = Source()
    assert file.held == 0
    file.fetch(source, silent)
    assert (file.held, is_there(file)) == (len(DATA), True)
    file.fetch(source, silent)
    assert source.asked == [Range(0, len(DATA))]


@pytest.mark.parametrize("came", [0, 1, STEP - 10_000, STEP + 10_000, 2 * STEP - 10_000])
def test_what_came_before_a_cut_is_not_asked_for_again_but_for_the_last_step(file: Spool, came: int) -> None:
    with pytest.raises(CutError):
        file.fetch(Source(left=came), silent)
    held = file.held
    assert max(0, came - STEP) <= held <= came + 10_000
    rest = Source()
    file.fetch(rest, silent)
    assert rest.asked == [Range(held, len(DATA))]
    assert is_there(file)


def test_a_network_that_fails_leaves_what_came(file: Spool) -> None:
    with pytest.raises(NetworkError):
        file.fetch(Source(left=STEP, error=NetworkError("transfer", "cut")), silent)
    assert file.held == STEP


def test_what_another_file_left_costs_one_more_round(file: Spool) -> None:
    with pytest.raises(CutError):
        file.fetch(Source(data=DATA[::-1], left=STEP + 1), silent)
    source = Source()
    file.fetch(source, silent)
    assert source.asked == [Range(STEP, len(DATA)), Range(0, len(DATA))]
    assert is_there(file)


def test_another_file_is_refused_and_not_kept(file: Spool, tmp_path: Path) -> None:
    source = Source(data=DATA[:-1] + b"?")
    with pytest.raises(TrustError) as refused:
        file.fetch(source, silent)
    assert refused.value.code == "digest-mismatch"
    assert len(source.asked) == 1
    assert (file.held, list((tmp_path / "spool").iterdir())) == (0, [])


def test_a_full_disk_is_left_as_it_was(file: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        with pytest.raises(DeviceError) as refused:
            file.fetch(Source(), silent)
    assert refused.value.code == "disk-full"
    assert list((tmp_path / "spool").iterdir()) == []


def test_room_is_what_is_missing_and_a_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.statvfs(tmp_path)
    free = status.f_bavail * status.f_frsize
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    assert Spool(tmp_path, free - RESERVE, "0").has_room()
    assert not Spool(tmp_path, free - RESERVE + 1, "0").has_room()
    assert not Spool(tmp_path / "missing", free * 2, "0").has_room()


def test_only_what_is_wanted_stays(file: Spool, tmp_path: Path) -> None:
    spool.clean(tmp_path)
    with pytest.raises(CutError):
        file.fetch(Source(left=STEP), silent)
    (tmp_path / "spool/other").write_bytes(b"old")
    (tmp_path / "spool/another.part").write_bytes(b"old")
    spool.clean(tmp_path, {file.sha256})
    assert file.held == STEP
    assert [path.name for path in (tmp_path / "spool").iterdir()] == [f"{file.sha256}.part"]
    spool.clean(tmp_path)
    assert file.held == 0
