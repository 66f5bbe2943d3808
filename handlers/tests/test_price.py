"""`ota plan` says what `ota install` then takes, to the byte: for five pairs of images."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.tests.world import World, sha256

FORESEEN = (
    "fetched_bytes", "requests", "kept_bytes", "copied_bytes", "patched_bytes", "zero_bytes", "written_bytes",
    "verified_bytes",
)  # fmt: skip

CHUNK = 128 << 10  # bytes, at most

Pair = tuple[Path, Path]


def ext4(world: World) -> Pair:
    return world.v1, world.v2


def back_again(world: World) -> Pair:
    return world.v2, world.v1


def squashfs(world: World) -> Pair:
    return _built(world, "squashfs", lambda tree, image: ["mksquashfs", tree, image, "-quiet", "-noappend"])


def erofs(world: World) -> Pair:
    return _built(world, "erofs", lambda tree, image: ["mkfs.erofs", "-zlz4", image, tree])


def doubled(world: World) -> Pair:
    """Content that an image holds several times, and that lies elsewhere in the next one."""
    noise = random.Random(4)
    first, second, third = (noise.randbytes(1 << 20) for _ in range(3))
    old, new = world.folder / "doubled1.img", world.folder / "doubled2.img"
    old.write_bytes(first + second + first + bytes(1 << 20))
    new.write_bytes(third + second + third + first + bytes(2 << 20) + third)
    return old, new


def _built(world: World, kind: str, command: Callable[[Path, Path], list[str | Path]]) -> Pair:
    tree = world.folder / f"tree-{kind}"
    images = world.folder / f"old.{kind}", world.folder / f"new.{kind}"
    if tree.exists():
        return images
    tree.mkdir()
    noise = random.Random(3)
    for number in range(10):
        (tree / f"file{number}").write_bytes(noise.randbytes(300_000))
    for image in images:
        program, *words = command(tree, image)
        subprocess.run([world.tool(str(program)), *words], check=True, capture_output=True)
        (tree / "file3").write_bytes(noise.randbytes(310_000))
        (tree / "added").write_text("new and compressible\n" * 20_000)
    return images


PAIRS = [ext4, back_again, squashfs, erofs, doubled]


def fill(slot: Path, image: Path) -> None:
    size = slot.stat().st_size
    slot.write_bytes(image.read_bytes())
    os.truncate(slot, size)


def agree(world: World, swu: Path, image: Path) -> int:
    """Plan, install, compare; returns the bytes that were fetched."""
    before = sum(request.range_bytes for request in world.server.requests())
    planned, installed = world.ota("plan", swu), world.ota("install", swu)
    assert (planned.status, installed.status) == (0, 0), planned.errors + installed.errors
    assert {key: planned.answer[key] for key in FORESEEN} == {key: installed.answer[key] for key in FORESEEN}
    assert bool(world.slot_b.read_bytes()[: image.stat().st_size] == image.read_bytes())
    fetched = planned.answer["fetched_bytes"]
    assert isinstance(fetched, int)
    assert sum(request.range_bytes for request in world.server.requests()) - before == fetched
    return fetched


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.__name__)
def test_plan_and_installation_agree_to_the_byte(world: World, pair: Callable[[World], Pair]) -> None:
    old, new = pair(world)
    fill(world.slot_a, old)
    assert (
        0 < agree(world, world.make_delta_package(new), new) < new.stat().st_size
    )  # slot a is indexed first
    assert agree(world, world.make_delta_package(new), new) == 0  # there already
    # All of it is in slot a. But that was indexed as a whole, and so without the last chunk of its image.
    assert agree(world, world.make_delta_package(old), old) <= CHUNK


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.__name__)
def test_they_agree_where_the_target_holds_an_older_release(
    world: World, pair: Callable[[World], Pair]
) -> None:
    old, new = pair(world)
    fill(world.slot_a, world.v1)
    fill(world.slot_b, old)
    agree(world, world.make_delta_package(new), new)


def test_a_plan_knows_how_much_memory_it_takes(world: World) -> None:
    swu = world.make_delta_package(world.v2)
    fill(world.slot_a, world.v1)
    peaks = []
    for verb in ("plan", "install"):
        process = world.start(verb, swu, "--json")
        output, _ = process.communicate()
        peaks.append(json.loads(output)["peak_rss_bytes"])
    planned, measured = peaks
    assert measured <= planned <= 1.4 * measured


def test_what_one_entry_overwrites_is_no_seed_of_the_next(world: World) -> None:
    """Slot b holds v2 and becomes v1; a further partition becomes v2, and slot b can no longer help."""
    further = world.folder / "further"
    further.write_bytes(bytes(world.slot_b.stat().st_size))
    fill(world.slot_b, world.v2)
    (first, header1), (second, header2) = map(world.make_delta, (world.v1, world.v2))
    entries = ", ".join(
        f'{{ filename = "{header.name}"; type = "delta"; device = "{device}"; sha256 = "{sha256(header)}"; '
        f'properties: {{ url = "{world.url_of(published)}"; chain = "raw"; source = "/dev/mmcblk0p3"; }}; }}'
        for device, published, header in (("/dev/mmcblk0p3", first, header1), (further, second, header2))
    )
    swu = world.make_package(world.description(entries), header1, header2)
    assert agree(world, swu, world.v1) > 0
    assert bool(further.read_bytes()[: world.v2.stat().st_size] == world.v2.read_bytes())


def test_nothing_to_do_costs_one_look_at_the_slot(world: World) -> None:
    assert world.ota("install", world.make_delta_package(world.v2)).status == 0
    again = world.ota("install", world.make_delta_package(world.v2))
    size = world.v2.stat().st_size
    assert {key: again.answer[key] for key in FORESEEN if again.answer[key]} == {
        "kept_bytes": size, "verified_bytes": size,
    }  # fmt: skip


def test_a_plan_needs_no_network(world: World) -> None:
    swu = world.make_delta_package(world.v2, "https://updates.invalid/v2.zck")
    planned = world.ota("plan", swu)
    assert planned.status == 0, planned.errors
    assert planned.answer["fetched_bytes"] != 0


def test_a_budget_is_held_against_the_plan_before_anything_is_asked_for(world: World) -> None:
    swu = world.make_delta_package(world.v2)
    price = world.ota("plan", swu).answer["fetched_bytes"]
    assert isinstance(price, int)
    before, is_untouched = len(world.server.requests()), world.untouched()
    for verb in ("plan", "install"):
        assert world.ota(verb, swu, "--max-download", str(price - 1)).code == "over-budget"
    assert is_untouched()
    assert len(world.server.requests()) == before
    assert world.ota("install", swu, "--max-download", str(price)).status == 0
