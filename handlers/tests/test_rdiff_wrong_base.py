"""A delta knows nothing of the base it was made from: stock SWUpdate installs rubbish, we do not."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.tests import stock
from ota.tests.world import IMAGE_SIZE, World, sha256

Damage = Callable[[World], None]


@pytest.fixture(scope="module")
def package(shared: World, tool: Callable[[str], Path]) -> Path:
    """From v1 to v2, made with rdiff; its properties say what base and image are."""
    signature, delta = shared.folder / "v1.signature", shared.folder / "v1-v2.rdiff"
    subprocess.run([tool("rdiff"), "signature", shared.v1, signature], check=True)
    subprocess.run([tool("rdiff"), "delta", signature, shared.v2, delta], check=True)
    entry = (
        f'{{ filename = "{delta.name}"; type = "rdiff_image"; device = "/dev/mmcblk0p3"; '
        f'sha256 = "{sha256(delta)}"; properties: {{ rdiffbase = [ "/dev/mmcblk0p2" ]; '
        f'base-size = "{IMAGE_SIZE}"; base-sha256 = "{sha256(shared.v1)}"; '
        f'image-size = "{IMAGE_SIZE}"; image-sha256 = "{sha256(shared.v2)}"; }}; }}'
    )
    return shared.make_package(shared.description(entry), delta)


def another_image(world: World) -> None:
    world.slot_a.write_bytes(random.Random(7).randbytes(world.slot_a.stat().st_size))


def three_flipped_bytes(world: World) -> None:
    """In the contents of files, far apart, as a mounted root or a worn flash leaves them."""
    old, new = world.v1.read_bytes(), world.v2.read_bytes()
    kept = [start for start in range(0, IMAGE_SIZE, 4096) if old[start] and old[start] == new[start]]
    with world.slot_a.open("r+b") as slot:
        for start in kept[:: len(kept) // 3][:3]:
            slot.seek(start)
            slot.write(bytes([old[start] ^ 0xFF]))


def cut_short(world: World) -> None:
    os.truncate(world.slot_a, IMAGE_SIZE // 2)


@pytest.mark.parametrize("damage", [another_image, three_flipped_bytes, cut_short])
def test_a_wrong_base_is_refused_before_anything_is_written(
    damage: Damage, world: World, package: Path
) -> None:
    damage(world)
    refuses_and_writes_nothing(world, package)


def refuses_and_writes_nothing(world: World, package: Path) -> None:
    is_untouched = world.untouched()
    outcome = world.ota("install", package)
    assert (outcome.status, outcome.code) == (3, "delta-base")
    assert is_untouched()


@pytest.mark.compat
@pytest.mark.parametrize("program", stock.VERSIONS)
@pytest.mark.parametrize("damage", [another_image, three_flipped_bytes])
def test_what_we_refuse_stock_calls_a_success_and_leaves_corrupt(
    damage: Damage, program: str, world: World, package: Path
) -> None:
    damage(world)
    refuses_and_writes_nothing(world, package)
    run = stock.install(world, program, package)
    assert run.installed, run.log
    assert not world.holds(world.slot_b, world.v2)


@pytest.mark.compat
@pytest.mark.parametrize("program", stock.VERSIONS)
def test_a_base_that_is_too_short_stock_notices_when_half_the_image_is_written(
    program: str, world: World, package: Path
) -> None:
    cut_short(world)
    refuses_and_writes_nothing(world, package)
    is_untouched = world.untouched()
    run = stock.install(world, program, package)
    assert not run.installed
    assert "Unexpected EOF on rdiff base file." in run.log
    assert not is_untouched()


@pytest.mark.compat
@pytest.mark.parametrize("program", stock.VERSIONS)
def test_on_the_right_base_the_same_package_gives_the_image(
    program: str, world: World, package: Path
) -> None:
    assert stock.install(world, program, package).installed
    assert world.holds(world.slot_b, world.v2)
    world.reset()
    assert world.ota("install", package).status == 0
    assert world.holds(world.slot_b, world.v2)
