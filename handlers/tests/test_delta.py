"""The delta handler on real images and a real server: drift, resume, odd beginnings."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from ota.tests.world import IMAGE_SIZE, SLOT_SIZE, World


def package(world: World, image: str = "v2", source: str = "/dev/mmcblk0p2") -> Path:
    return world.make_delta_package(getattr(world, image), source=source)


def adopt(world: World) -> None:
    assert world.ota("adopt", "a", world.make_delta(world.v1)[1]).status == 0


def fetched(world: World) -> int:
    """Bytes of .zck files that were asked for so far."""
    return sum(request.range_bytes for request in world.server.requests())


FORESEEN = (
    "fetched_bytes",
    "requests",
    "kept_bytes",
    "copied_bytes",
    "zero_bytes",
    "written_bytes",
    "verified_bytes",
)


def test_plan_and_installation_agree_to_the_byte(world: World) -> None:
    adopt(world)
    planned = world.ota("plan", package(world))
    before = fetched(world)
    installed = world.ota("install", package(world))
    assert world.holds(world.slot_b, world.v2)
    assert {key: planned.answer[key] for key in FORESEEN} == {key: installed.answer[key] for key in FORESEEN}
    assert fetched(world) - before == planned.answer["fetched_bytes"]


def test_two_connections_serve_an_update_from_nearby(world: World) -> None:
    before = len(world.server.requests())
    world.ota("install", package(world))
    assert 1 <= len({request.connection for request in world.server.requests()[before:]}) <= 2


def test_the_boot_environment_is_switched_at_the_end(world: World) -> None:
    world.ota("install", package(world))
    assert world.environment.read_text() == "boot_slot=b\nustate=1\n"


def test_a_slot_is_not_booted_while_it_is_written_even_if_it_was_switched_to_before(world: World) -> None:
    world.ota("install", package(world))
    assert "boot_slot=b" in world.environment.read_text()
    swu = package(world, "v1")
    world.slot_a.write_bytes(bytes(SLOT_SIZE))  # so that something has to be fetched
    (world.publish / "v1.ext4.zck").rename(world.publish / "away")
    (world.publish / "v1.ext4.zck").write_bytes(
        (world.publish / "away").read_bytes()[:-300_000] + bytes(300_000)
    )
    try:
        failed = world.ota("install", swu)
    finally:
        (world.publish / "away").rename(world.publish / "v1.ext4.zck")
    assert failed.code == "digest-mismatch", failed
    assert world.ota("status").answer["slots"]["b"]["content"] == "half written"  # type: ignore[index]  # JSON
    assert world.ota("verify", "b").code == "slot-no-manifest"
    assert world.environment.read_text() == "boot_slot=a\nrecovery_status=failed\nustate=3\n"


def test_an_update_that_is_there_already_costs_nothing(world: World) -> None:
    world.ota("install", package(world))
    before = fetched(world)
    again = world.ota("install", package(world))
    assert (again.answer["fetched_bytes"], again.answer["written_bytes"]) == (0, 0)
    assert fetched(world) == before


@pytest.mark.parametrize("known", [True, False], ids=["adopted", "indexed"])
def test_a_running_slot_that_drifted_costs_only_the_chunks_hit(world: World, known: bool) -> None:
    if known:
        adopt(world)
    planned = world.ota("plan", package(world))
    slot = bytearray(world.slot_a.read_bytes())
    for place in (1024, 3 << 20, 9 << 20):  # the superblock, and twice data
        slot[place : place + 64] = os.urandom(64)
    world.slot_a.write_bytes(slot)
    installed = world.ota("install", package(world))
    assert installed.status == 0, installed
    assert world.holds(world.slot_b, world.v2)
    more = installed.answer["fetched_bytes"] - planned.answer["fetched_bytes"]  # type: ignore[operator]  # JSON
    assert 0 < more <= 3 * 131072


def test_a_source_that_is_gone_is_no_need(world: World) -> None:
    outcome = world.ota("install", package(world, source="/nonexistent"))
    assert outcome.status == 0, outcome
    assert world.holds(world.slot_b, world.v2)


def test_another_seed_than_the_running_slot_is_used(world: World) -> None:
    world.slot_a.write_bytes(bytes(SLOT_SIZE))
    outcome = world.ota("install", package(world, source=str(world.v2)))
    assert outcome.answer["fetched_bytes"] == 0
    assert world.holds(world.slot_b, world.v2)


def test_what_an_unknown_target_holds_is_found_out_and_moved(world: World) -> None:
    """Slot b holds the image that runs, as somebody else put it there, and some bytes further on."""
    world.slot_a.write_bytes(bytes(SLOT_SIZE))
    world.slot_b.write_bytes((os.urandom(500) + world.v1.read_bytes()).ljust(SLOT_SIZE, b"\xff"))
    planned = world.ota("plan", package(world, "v1"))
    before = fetched(world)
    installed = world.ota("install", package(world, "v1"))
    assert installed.status == 0, installed
    assert world.holds(world.slot_b, world.v1)
    assert {key: planned.answer[key] for key in FORESEEN} == {key: installed.answer[key] for key in FORESEEN}
    assert fetched(world) - before == planned.answer["fetched_bytes"]
    assert planned.answer["fetched_bytes"] < 200_000


def test_seeds_of_the_configuration_are_copied_from(world: World) -> None:
    world.slot_a.write_bytes(bytes(SLOT_SIZE))
    world.write_config(seeds='seeds = ["not-plugged-in.ext4", "v2.ext4"]')
    planned = world.ota("plan", package(world))
    outcome = world.ota("install", package(world))
    assert world.holds(world.slot_b, world.v2)
    assert (planned.answer["fetched_bytes"], outcome.answer["fetched_bytes"]) == (0, 0)


def test_slots_know_what_they_hold(world: World) -> None:
    world.ota("install", package(world))
    slots = world.ota("status").answer["slots"]
    assert slots["b"]["version"] == "2.0"  # type: ignore[index]  # JSON
    assert world.ota("verify", "b").status == 0
    with world.slot_b.open("r+b") as slot:
        slot.seek(5000)
        slot.write(b"rot")
    broken = world.ota("verify", "b")
    assert broken.code == "slot-damaged"
    assert broken.answer["slots"]["b"]["damaged_chunks"] == 1  # type: ignore[index]  # JSON


def rot(world: World, places: list[int]) -> None:
    slot = bytearray(world.slot_b.read_bytes())
    for place in places:
        slot[place] ^= 0x10
    world.slot_b.write_bytes(slot)


def test_repair_mends_from_the_running_slot_and_by_range(world: World) -> None:
    adopt(world)
    world.ota("install", package(world))
    chance = random.Random(4)
    rot(world, [chance.randrange(IMAGE_SIZE) for _ in range(100)])
    assert world.ota("verify", "b").code == "slot-damaged"
    before = fetched(world)
    repaired = world.ota("verify", "b", "--repair")
    assert repaired.status == 0, repaired
    assert world.holds(world.slot_b, world.v2)
    result = repaired.answer["slots"]["b"]  # type: ignore[index]  # JSON
    assert result["damaged_chunks"] > 0
    assert result["copied_bytes"] > 0
    assert result["fetched_bytes"] == fetched(world) - before
    assert world.ota("verify", "b").status == 0


def test_repair_of_what_the_running_slot_has_needs_no_server(world: World) -> None:
    adopt(world)
    world.ota("install", package(world, "v1"))
    rot(world, [5_000_000, 9_000_000])
    before = fetched(world)
    assert world.ota("verify", "--repair").status == 0
    assert world.holds(world.slot_b, world.v1)
    assert fetched(world) == before


def test_the_running_slot_is_not_repaired(world: World) -> None:
    adopt(world)
    damaged = bytearray(world.slot_a.read_bytes())
    damaged[2_000_000] ^= 1
    world.slot_a.write_bytes(damaged)
    assert world.ota("verify", "a", "--repair").code == "slot-running"
    assert world.slot_a.read_bytes() == damaged


def test_what_lies_behind_the_image_is_left_alone(world: World) -> None:
    world.ota("install", package(world))
    assert world.slot_b.read_bytes()[IMAGE_SIZE:] == b"\xff" * (SLOT_SIZE - IMAGE_SIZE)


def test_a_killed_update_goes_on_where_it_was(world: World) -> None:
    """SIGKILL at growing delays; what was written before is never fetched again, and it ends right."""
    adopt(world)
    swu = package(world)
    planned: int = world.ota("plan", swu).answer["fetched_bytes"]  # type: ignore[assignment]  # JSON
    kills = 0
    for delay_s in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7):
        process = world.start("install", swu)
        time.sleep(delay_s)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        pending = (world.folder / "state/slots/b.pending.zck-header").exists()
        assert "boot_slot=b" not in world.environment.read_text() or not pending
    assert kills
    done = world.ota("install", swu)
    assert done.status == 0, done
    assert world.holds(world.slot_b, world.v2)
    again: int = done.answer["fetched_bytes"]  # type: ignore[assignment]  # JSON
    assert again <= planned


def test_what_a_stopped_update_left_is_kept(world: World) -> None:
    adopt(world)
    world.ota("install", package(world))
    # As a power cut leaves it: the pending manifest is there, the first half is written.
    slots = world.folder / "state/slots"
    (slots / "b.zck-header").rename(slots / "b.pending.zck-header")
    whole = world.slot_b.read_bytes()
    world.slot_b.write_bytes(whole[: IMAGE_SIZE // 2] + b"\xff" * (SLOT_SIZE - IMAGE_SIZE // 2))
    assert world.ota("status").answer["slots"]["b"]["content"] == "half written"  # type: ignore[index]  # JSON
    resumed = world.ota("install", package(world))
    assert resumed.status == 0, resumed
    assert world.slot_b.read_bytes()[:IMAGE_SIZE] == whole[:IMAGE_SIZE]
    assert resumed.answer["kept_bytes"] > IMAGE_SIZE // 2 - 131072  # type: ignore[operator]  # JSON


def test_a_newer_release_keeps_what_a_stopped_one_left(world: World) -> None:
    world.ota("install", package(world))
    slots = world.folder / "state/slots"
    (slots / "b.zck-header").rename(slots / "b.pending.zck-header")
    resumed = world.ota("install", package(world, "v1"))
    assert resumed.status == 0, resumed
    assert world.holds(world.slot_b, world.v1)
    assert resumed.answer["kept_bytes"] > 0  # type: ignore[operator]  # JSON
