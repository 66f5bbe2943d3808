"""`raw` onto a whole disk, as boot loaders are written: beside its partitions, of which some are mounted."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.tests import loops
from ota.tests.loops import MIB, part
from ota.tests.world import World, sha256

pytestmark = pytest.mark.tool("sfdisk", "mke2fs")

LOADER = bytes(range(256)) * 2000
SCRIPT = "label: gpt\n1: start=2MiB, size=8MiB\n2: start=12MiB, size=8MiB\n"


@pytest.fixture
def disk(world: World, tmp_path: Path) -> Iterator[Path]:
    """Its first partition is mounted."""
    with loops.disk(tmp_path / "disk", script=SCRIPT) as device:
        subprocess.run([world.tool("mke2fs"), "-q", "-F", part(device, 1)], check=True)
        with loops.mounted(part(device, 1), tmp_path / "mounted"):
            yield device


def package(world: World, disk: Path, offset: int, data: bytes = LOADER, more: str = "") -> Path:
    loader = world.folder / "loader"
    loader.write_bytes(data)
    entry = (
        f'{{ filename = "loader"; type = "raw"; device = "{disk}"; offset = "{offset}"; {more} '
        f'sha256 = "{sha256(loader)}"; }}'
    )
    return world.make_package(world.description(entry), loader)


def read(disk: Path, offset: int) -> bytes:
    with disk.open("rb") as file:
        file.seek(offset)
        return file.read(len(LOADER))


@pytest.mark.parametrize("offset", [33 << 10, MIB, 11 * MIB, 12 * MIB])
def test_a_boot_loader_goes_beside_what_is_mounted(world: World, disk: Path, offset: int) -> None:
    outcome = world.ota("install", package(world, disk, offset))
    assert outcome.status == 0, outcome.errors
    assert bool(read(disk, offset) == LOADER)


@pytest.mark.parametrize("offset", [2 * MIB - 4096, 5 * MIB, 10 * MIB - 4096])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "size unknown"])
def test_it_never_goes_over_what_is_mounted(world: World, disk: Path, offset: int, packed: bool) -> None:
    before = disk.read_bytes()
    data, more = (gzip.compress(LOADER), 'compressed = "zlib";') if packed else (LOADER, "")
    assert world.ota("install", package(world, disk, offset, data, more)).code == "partition-in-use"
    assert bool(disk.read_bytes() == before)
