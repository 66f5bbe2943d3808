"""Partition tables, boot flags and new file systems: what stock SWUpdate makes of an equal disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.tests.packages import Properties, entry, install, pack
from ota.formats.partition_table import Table
from ota.io import partitions
from ota.tests import loops
from ota.tests.loops import MIB
from ota.tests.stock import BACKPORTS
from ota.tests.world import World

pytestmark = [
    pytest.mark.compat,
    pytest.mark.tool("sfdisk", "partx", "blkid", "mkfs.ext4", "mkfs.vfat", "fatlabel", "dumpe2fs"),
]

EFI = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
UUID = "11111111-2222-3333-4444-555555555555"
NAMED = f'label: gpt\nlabel-id: {UUID}\n1: size=8MiB, name="a"\n2: size=8MiB, name="b", attrs="GUID:63"\n'
PRIMARY = "label: dos\nlabel-id: 0x12345678\n1: size=8MiB\n2: size=8MiB, bootable\n"


def stock(world: World, **sections: str) -> bool:
    """Whether stock SWUpdate installs these sections; it sees the machine's devices."""
    package = pack(world, **sections)
    (world.folder / "swupdate.cfg").write_text("globals: { };\n")
    (world.folder / "tmp").mkdir(exist_ok=True)
    command: Sequence[str | Path] = [
        "unshare", "--mount", world.tool(BACKPORTS), "-f", world.folder / "swupdate.cfg",
        "-k", world.certificate, "-H", "demo:1.0", "-e", "stable,copy-b", "-M", "-m", "-i", package,
    ]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(world.folder / "tmp")}
    done = subprocess.run(command, env=environment, cwd=world.folder, capture_output=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def ours(world: World, **sections: str) -> bool:
    return install(world, **sections).status == 0


BOTH = (("stock", stock), ("ours", ours))


def tables(disk: Path, *, random_uuids: bool) -> list[Table | None]:
    """The table and the one beside it; UUIDs and numbers that were made at random are left out."""
    found: list[Table | None] = []
    for nested in (False, True):
        table = partitions.read(disk, nested=nested)
        if table and random_uuids:
            headers = {name: value for name, value in table.headers.items() if name != "label-id"}
            shown = (replace(part, uuid=part.uuid if part.uuid == UUID else "") for part in table.partitions)
            table = replace(table, headers=headers, partitions=tuple(shown))
        found.append(table)
    return found


TABLES: dict[str, tuple[str, Properties]] = {
    "GPT": ("", {"labeltype": "gpt", "partition-1": ["size=8M", "name=one"], "partition-2": ["name=rest"]}),
    "GPT, odd sizes and places": (
        "",
        {
            "labeltype": "gpt",
            "partition-1": ["size=1000K"],
            "partition-2": ["size=3000000", "start=5000", f"partuuid={UUID}"],
            "partition-3": ["size=3000K", "start=11111", f"type={EFI.lower()}"],
            "partition-7": ["size=5000", "name=größer"],
        },
    ),
    "DOS": (
        "",
        {
            "labeltype": "dos",
            "partition-1": ["size=8M", "type=0x83", "flag=boot"],
            "partition-2": ["type=5"],
            "partition-5": ["size=3M", "type=c"],
            "partition-6": ["size=3M", "type=e"],
        },
    ),
    "hybrid": (
        "",
        {
            "labeltype": "gpt",
            "partition-1": ["size=8M", "dostype=0x0c"],
            "partition-2": ["size=9M"],
            "partition-3": ["size=9M", "dostype=83"],
        },
    ),
    "GPT that differs": (NAMED, {"labeltype": "gpt", "partition-1": ["size=8M"], "partition-2": ["size=9M"]}),
    "GPT that is right": (
        NAMED,
        {"labeltype": "gpt", "partition-1": ["size=8M", "name=a"], "partition-2": ["size=8M", "name=b"]},
    ),
    "GPT to DOS": (NAMED, {"labeltype": "dos", "partition-1": ["size=8M", "type=83"]}),
    "DOS that differs": (PRIMARY, {"labeltype": "dos", "partition-1": ["size=9M", "type=83"]}),
    "DOS to GPT": (PRIMARY, {"labeltype": "gpt", "partition-1": ["size=9M"]}),
}


@pytest.mark.parametrize(
    ("title", "sector"), [*((title, 512) for title in TABLES), *((title, 4096) for title in [*TABLES][:3])]
)
def test_a_disk_is_partitioned_as_stock_does_it(
    world: World, tmp_path: Path, title: str, sector: int
) -> None:
    before, properties = TABLES[title]
    made = []
    for name, installed in BOTH:
        with loops.disk(tmp_path / name, script=before, sector=sector) as disk:
            assert installed(world, partitions=entry("diskpart", disk, properties))
            made.append(tables(disk, random_uuids=True))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("before", "script", "properties"),
    [
        (PRIMARY, "toggleboot", {"partition": "1"}),
        (NAMED, "gptswap", {"swap-0": ["a", "b"]}),
    ],
    ids=["toggleboot", "gptswap"],
)
def test_what_boots_is_changed_as_stock_does_it(
    world: World, tmp_path: Path, before: str, script: str, properties: Properties
) -> None:
    made = []
    for name, installed in BOTH:
        with loops.disk(tmp_path / name, script=before) as disk:
            before_uuids = [part.uuid for part in tables(disk, random_uuids=False)[0].partitions]  # type: ignore[union-attr]
            assert installed(world, scripts=entry(script, disk, properties))
            after = tables(disk, random_uuids=False)[0]
            assert after and [part.uuid for part in after.partitions] == before_uuids
            made.append(tables(disk, random_uuids=True))
    assert made[0] == made[1]


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_a_file_system_has_the_features_that_stock_gives_it(world: World, tmp_path: Path, kind: str) -> None:
    made = []
    for name, installed in BOTH:
        with loops.disk(tmp_path / name) as disk:
            assert installed(world, partitions=entry("diskformat", disk, {"fstype": kind}))
            made.append(described(disk))
    assert made[0] == made[1]


def described(disk: Path) -> dict[str, str]:
    lines = loops.run("dumpe2fs", "-h", disk).splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    found = {name.strip(): value.strip() for name, value in pairs}
    features = " ".join(sorted(found["Filesystem features"].split()))
    return {"features": features} | {
        name: found[name] for name in ("Block size", "Inode size", "Inode count", "Reserved block count")
    }


def test_stock_reads_back_only_what_is_left_of_a_size_in_32_bits(world: World, tmp_path: Path) -> None:
    file = tmp_path / "far"
    with file.open("wb") as medium:
        medium.truncate((4 << 30) + MIB)
        medium.seek(-1, os.SEEK_END)
        medium.write(b"x")
    whole = hashlib.sha256()
    with file.open("rb") as medium:
        while block := medium.read(MIB):
            whole.update(block)
    said = {"size": str(file.stat().st_size)}
    right = entry("readback", file, {**said, "sha256": whole.hexdigest()})
    wrong = entry("readback", file, {**said, "sha256": hashlib.sha256(bytes(MIB)).hexdigest()})
    assert (stock(world, scripts=right), stock(world, scripts=wrong)) == (False, True)
    assert install(world, scripts=right).status == 0
    assert install(world, scripts=wrong).code == "result-mismatch"
