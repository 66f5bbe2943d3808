"""One package with every method: a device takes what its slot allows, at the price that the build told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ota.tests.world import World
from packager import cli

pytestmark = pytest.mark.build

VERSIONS = {"v1": "1.0", "v2": "2.0"}


@dataclass(frozen=True)
class Release:
    """v2, built with v1 as its base."""

    package: Path
    report: dict[str, Any]

    def price(self, base: str | None, method: str) -> int:
        rows = self.report["estimate"]["rows"]
        (row,) = [row for row in rows if (row["base"], row["method"]) == (base, method)]
        fetched: int = row["fetched_bytes"]
        return fetched

    @property
    def chosen(self) -> dict[str | None, str]:
        return {row["base"]: row["method"] for row in self.report["estimate"]["rows"] if row["chosen"]}


def build(world: World, image: str, more: str = "") -> Path:
    release, output = world.folder / "release.toml", world.folder / "built" / image
    release.write_text(
        f'name = "demo"\nversion = "{VERSIONS[image]}"\nboard = "demo"\n[[image]]\nname = "rootfs"\n'
        f'file = "{image}.ext4"\ntype = "delta"\nurl = "{world.server.url}"\n'
        f'methods = ["zchunk", "rdiff", "full"]\n{more}'
    )
    keys = ("--dev-keys", str(world.folder / "keys"))
    assert cli.main(["build", str(release), "-o", str(output), "--quiet", *keys]) == 0
    shutil.copytree(output / "publish", world.publish, dirs_exist_ok=True)
    return output


@pytest.fixture(scope="module")
def release(shared: World) -> Release:
    base = build(shared, "v1")
    output = build(shared, "v2", f'[[base]]\nversion = "1.0"\nfolder = "{base}"\n')
    return Release(output / "demo-2.0.swu", json.loads((output / "report.json").read_bytes()))


@pytest.fixture
def world(shared: World, release: Release) -> Iterator[World]:
    """A device that got v1 from its package; the other slot is blank."""
    shared.reset()
    shared.write_config(trust='trust.certificates = ["keys/dev.pem"]')
    header = shared.folder / "v1.header"
    header.write_bytes((shared.folder / "built/v1/record/demo/1.0/rootfs.zck-header").read_bytes())
    assert shared.ota("adopt", "a", header).status == 0
    size = shared.slot_b.stat().st_size
    shared.slot_b.write_bytes(bytes(size))
    yield shared


def test_a_device_with_the_base_takes_rdiff_and_fetches_what_was_estimated(
    world: World, release: Release
) -> None:
    assert release.chosen["1.0"] == "rdiff"
    outcome = world.ota("install", release.package)
    assert outcome.status == 0, outcome.errors
    assert outcome.answer["methods"] == {"rootfs.zck-header": "rdiff"}
    assert outcome.answer["fetched_bytes"] == release.price("1.0", "rdiff")
    assert bool(world.holds(world.slot_b, world.v2))


def test_one_whose_base_has_one_altered_block_takes_zchunk(world: World, release: Release) -> None:
    with world.slot_a.open("r+b") as slot:
        slot.seek(1 << 20)
        block = slot.read(4096)
        slot.seek(1 << 20)
        slot.write(bytes(byte ^ 1 for byte in block))
    outcome = world.ota("install", release.package)
    assert outcome.status == 0, outcome.errors
    assert outcome.answer["methods"] == {"rootfs.zck-header": "zchunk"}
    assert bool(world.holds(world.slot_b, world.v2))


def test_one_that_cannot_get_the_other_files_takes_zchunk(world: World, release: Release) -> None:
    for path in world.publish.glob("*.zst"):
        path.rename(path.with_suffix(".away"))
    try:
        outcome = world.ota("install", release.package)
    finally:
        for path in world.publish.glob("*.away"):
            path.rename(path.with_suffix(".zst"))
    assert outcome.status == 0, outcome.errors
    assert outcome.answer["methods"] == {"rootfs.zck-header": "zchunk"}
    assert bool(world.holds(world.slot_b, world.v2))


def test_one_that_holds_nothing_takes_what_was_chosen_for_it(world: World, release: Release) -> None:
    world.reset()  # no manifest is known either
    for slot in (world.slot_a, world.slot_b):
        slot.write_bytes(bytes(slot.stat().st_size))
    outcome = world.ota("install", release.package)
    assert outcome.status == 0, outcome.errors
    print(outcome, json.dumps(release.report["estimate"]))
    assert outcome.answer["methods"] == {"rootfs.zck-header": release.chosen[None]}
    assert outcome.answer["fetched_bytes"] == release.price(None, release.chosen[None] or "")
    assert bool(world.holds(world.slot_b, world.v2))
