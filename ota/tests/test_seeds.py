"""Seeds that are no slots: cut into chunks once, and again when they changed."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import DeviceError
from ota.interfaces import Event
from ota.sync.seeds import Seeds

IMAGE = random.Random(1).randbytes(3_000_000)


class Kept:
    """Seeds of one state folder; counts how often one was read through."""

    def __init__(self, folder: Path) -> None:
        self.read = 0
        self._seeds = Seeds(folder, self._count)

    def size(self, path: Path) -> int:
        return self._seeds.manifest(path).image_size

    def _count(self, event: Event) -> None:
        self.read += event.done == event.total


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "state")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(IMAGE)
    return path


def test_a_file_is_read_once(kept: Kept, file: Path) -> None:
    assert [kept.size(file) for _ in range(3)] == [len(IMAGE)] * 3
    assert kept.read == 1


def test_a_file_that_changed_is_read_again(kept: Kept, file: Path) -> None:
    kept.size(file)
    os.utime(file, ns=(1, 1))
    kept.size(file)
    assert kept.read == 2
    time = file.stat().st_mtime_ns
    file.write_bytes(IMAGE[:-1])
    os.utime(file, ns=(time, time))
    assert kept.size(file) == len(IMAGE) - 1
    assert kept.read == 3


@pytest.mark.parametrize("suffix", ["json", "zck-header"])
@pytest.mark.parametrize("rot", [None, b"", b"[]", b"{}"])
def test_a_damaged_memory_is_none(
    kept: Kept, file: Path, tmp_path: Path, suffix: str, rot: bytes | None
) -> None:
    kept.size(file)
    (stored,) = (tmp_path / "state/seeds").glob(f"*.{suffix}")
    assert len(stored.name) == 16 + 1 + len(suffix)
    stored.unlink() if rot is None else stored.write_bytes(rot)
    assert kept.size(file) == len(IMAGE)
    assert kept.read == 2


def test_two_seeds_are_not_confused(kept: Kept, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"short")
    assert (kept.size(file), kept.size(other), kept.size(file)) == (len(IMAGE), 5, len(IMAGE))
    assert kept.read == 2


def test_what_is_not_there_is_an_error(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(DeviceError):
        kept.size(tmp_path / "none")


@pytest.fixture
def device(file: Path) -> Iterator[Path]:
    if os.geteuid() and "CI" not in os.environ:
        pytest.skip("a loop device needs root")
    made = subprocess.run(["losetup", "-f", "--show", file], capture_output=True, text=True, check=True)
    yield Path(made.stdout.strip())
    subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


def test_of_a_block_device_some_chunks_are_looked_at(kept: Kept, device: Path) -> None:
    kept.size(device)
    kept.size(device)
    assert kept.read == 1
    with device.open("r+b") as medium:
        medium.write(b"rot")
    kept.size(device)
    assert kept.read == 2


def test_an_empty_seed_has_nothing(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert kept.size(tmp_path / "empty") == 0
