from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ota import layout
from ota.errors import DeviceError, UpdateError
from ota.formats.partition_table import Table
from ota.formats.selection import Entry, Section
from ota.io import partitions
from ota.tests import loops

Properties = Mapping[str, str | Sequence[str]]

TWO: Properties = {
    "labeltype": "gpt",
    "partition-1": ["size=8M", "name=first"],
    "partition-2": ["size=16M", "name=second"],
}


X = ["name=x"]


def parse(properties: Properties) -> layout.Layout:
    lists = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in properties.items()}
    return layout.parse(Entry(Section.PARTITIONS, "diskpart", device="/dev/mmcblk0", properties=lists))


def foresee(disk: Path, properties: Properties) -> Table:
    wanted = parse(properties)
    return partitions.foresee(disk, wanted.label, wanted.wishes, partitions.read(disk))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A file does: sfdisk takes it for a disk."""
    file = tmp_path / "disk"
    file.touch()
    with file.open("r+b") as medium:
        medium.truncate(64 * loops.MIB)
    return file


@pytest.mark.parametrize(
    "changed",
    [
        {"labeltype": "mbr"},
        {"partition-1": ["size=8M", "szie=3"]},
        {"partition-1": ["size"]},
        {"partition-1": ["size="]},
        {"partition-1": ["size=8M", "size=9M"]},
        {"partition-1": ["size=0"]},
        {"partition-1": ["size=8X"]},
        {"partition-1": ["size=-8"]},
        {"partition-1": ["start=1M"]},
        {"partition-1": ["type=linux"]},
        {"partition-1": ["partuuid=1234"]},
        {"partition-1": ["name=" + "x" * 37]},
        {"partition-1": ["name=two\nlines"]},
        {"partition-1": ["flag=boot"]},
        {"partition-1": ["fstype=ntfs"]},
        {"partition-1": ["fstype=vfat", "fslabel=much too long"]},
        {"partition-1": ["fstype=ext4", "force=perhaps"]},
        {"partition-0": ["size=1M"]},
        {"partition-x": ["size=1M"]},
        {"partition-3": []},
        {"partition-01": ["size=1M"]},
        {"partition-129": ["size=1M"]},
        {"labeltype": "dos"},  # without types
        {"noinuse": "maybe"},
        {f"partition-{number}": ["size=1M", "dostype=83"] for number in (3, 4, 5, 6)},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(changed: Properties) -> None:
    with pytest.raises(UpdateError) as error:
        parse({**TWO, **changed})
    assert error.value.code == "description-content"


def test_a_layout_without_partitions_is_refused() -> None:
    with pytest.raises(UpdateError, match="no partition"):
        parse({"labeltype": "gpt"})


@pytest.mark.parametrize(
    ("said", "size", "is_exact"),
    [
        ("8", 8, True),
        ("8K", 8 << 10, False),
        ("8MiB", 8 << 20, False),
        ("8g", 8 << 30, False),
        ("0010M", 10 << 20, False),
    ],
)
def test_sizes_are_read_as_swupdate_reads_them(said: str, size: int, is_exact: bool) -> None:
    (wish,) = parse({"labeltype": "gpt", "partition-1": [f"size={said}"]}).wishes
    assert (wish.size, wish.is_exact) == (size, is_exact)


def test_partitions_are_made_by_number_in_whatever_order_they_stand() -> None:
    wanted = parse({"labeltype": "gpt", "partition-10": X, "partition-2": X, "partition-1": X})
    assert [wish.number for wish in wanted.wishes] == [1, 2, 10]


@pytest.mark.parametrize(
    "changed",
    [
        {"partition-1": ["size=80M"]},
        {"partition-1": ["size=50M"]},  # too big beside the other one
        {"partition-1": ["size=80000000"]},
        {"partition-1": ["start=999999999"]},
        {"partition-1": ["size=8M", "start=2048"], "partition-2": ["size=8M", "start=4096"]},
        {"partition-1": ["size=8M", "start=10"]},
        {"labeltype": "dos", "partition-1": ["type=83"], "partition-2": ["type=83"]},
        {"labeltype": "dos", "partition-1": ["type=83"], "partition-2": [], "partition-5": ["type=83"]},
    ],
    ids=str,
)
@pytest.mark.tool("sfdisk")
def test_what_is_not_possible_is_refused(disk: Path, changed: Properties) -> None:
    wanted = {name: value for name, value in {**TWO, **changed}.items() if value}
    with pytest.raises(DeviceError) as error:
        foresee(disk, wanted)
    assert error.value.code == "partition-table"
    assert partitions.read(disk) is None


@pytest.mark.tool("sfdisk")
@pytest.mark.parametrize("torn", [False, True], ids=["whole sectors", "torn sectors"])
def test_whenever_power_is_cut_the_old_table_is_there_or_the_new_one(disk: Path, torn: bool) -> None:
    """libfdisk, gpt_write_disklabel: backup entries, backup header, entries, header, protective MBR."""
    partitions.write(disk, foresee(disk, TWO))
    before, old = disk.read_bytes(), partitions.read(disk)
    partitions.write(disk, foresee(disk, {**TWO, "partition-2": ["size=20M", "name=new"]}))
    after, new = disk.read_bytes(), partitions.read(disk)
    last = len(before) // 512 - 1
    order = [*range(last - 32, last), last, *range(2, 34), 1, 0]
    sectors = [sector for sector in order if at(before, sector) != at(after, sector)]
    assert len(sectors) == 4  # entries and header, twice
    disk.write_bytes(before)
    seen = set()
    with disk.open("r+b", buffering=0) as medium:
        for done, sector in enumerate(sectors):
            if torn:
                os.pwrite(medium.fileno(), at(after, sector)[:256], sector * 512)
            found = partitions.read(disk)
            assert found in (old, new), f"after {done} of {len(sectors)} sectors"
            seen.add(found == new)
            os.pwrite(medium.fileno(), at(after, sector), sector * 512)
    assert seen == {False, True} and partitions.read(disk) == new


def at(medium: bytes, sector: int) -> bytes:
    return medium[sector * 512 : sector * 512 + 512]
