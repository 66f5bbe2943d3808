"""An update that is killed at random moments over a real server ends right, and fetches little twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.tests.server import Server
from ota.tests.world import World

KILLS = 50
PER_KILL = 4_000_000  # bytes that a kill may cost
IMAGE = 40 << 20  # bytes, all to be fetched
SLOT = 48 << 20
RATE = "6m"  # bytes a second of each connection: an update takes some seconds

pytestmark = pytest.mark.faults


@pytest.fixture
def slow(world: World, tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "nginx", world.publish, world.tool("nginx"), f"limit_rate {RATE};") as server:
        world.write_config(network=f'network = {{ ca = "{server.ca}" }}')
        yield server


def noise(world: World, number: int) -> Path:
    image = world.folder / f"noise{number}.img"
    image.write_bytes(random.Random(number).randbytes(IMAGE))
    return image


def as_delivered(world: World) -> None:
    world.reset()
    for slot in (world.slot_a, world.slot_b):
        os.truncate(slot, SLOT)


def test_whatever_is_killed_goes_on_and_costs_little(
    world: World, slow: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """An update is killed until it gets through; from the beginning again until there were enough kills."""
    chance = random.Random(20)
    image = noise(world, 1)
    swu = world.make_delta_package(image, f"{slow.url}/{image.name}.zck")
    kills, cost = 0, 0
    while kills < KILLS:
        as_delivered(world)
        planned, before, killed = foreseen(world, swu), sent(slow), 0
        while is_killed(world.start("install", swu), chance.uniform(0.3, 1.5)):
            killed += 1
            if "boot_slot=b" in world.environment.read_text():
                assert bool(world.slot_b.read_bytes()[:IMAGE] == image.read_bytes())
        assert bool(world.slot_b.read_bytes()[:IMAGE] == image.read_bytes())
        assert "boot_slot=b" in world.environment.read_text()
        extra = sent(slow) - before - planned
        assert extra <= killed * PER_KILL, f"{extra} bytes for {killed} kills"
        kills, cost = kills + killed, cost + extra
    with capsys.disabled():
        print(f"\nkills injected: {kills}, bytes fetched twice for each: {cost // kills:,}, violations: 0")


def is_killed(process: subprocess.Popen[bytes], after_s: float) -> bool:
    """Kill an update; False where it had ended well before."""
    try:
        assert process.wait(after_s) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL
    return False


def foreseen(world: World, swu: Path) -> int:
    planned = world.ota("plan", swu).answer["fetched_bytes"]
    assert isinstance(planned, int)
    return planned


def sent(server: Server) -> int:
    """Bytes of answers so far, those included that nobody read."""
    time.sleep(0.1)
    return sum(request.body for request in server.requests())
