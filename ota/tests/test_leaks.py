"""Updates that fail leave nothing behind in the process: no descriptor, no thread, no memory."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.tests.odd import Behaviour, Odd, Request
from ota.tests.world import World

pytestmark = pytest.mark.faults

UPDATES = 200
MAX_GROWTH = 4 << 20  # bytes over the last three quarters of them


def dropped(request: Request) -> None:
    start, stop = request.ranges[0]
    where = f"bytes {start}-{stop - 1}/{len(request.file)}"
    request.answer(206, request.file[start : start + 10], stop - start, Content_Range=where)
    request.close_connection = True
    request.server.behaviour = gone


def gone(request: Request) -> None:
    request.answer(404, b"")


def half(request: Request) -> None:
    """Proper for the first answers, so that the slot is written; then no more."""
    request.server.behaviour = dropped
    start, stop = request.ranges[0]
    request.single(start, stop)


def wrong(request: Request) -> None:
    for start, stop in request.ranges[:1]:
        request.single(start, stop, bytes(byte ^ 1 for byte in request.file[start:stop]))


def another(request: Request) -> None:
    request.single(*request.ranges[0], total=1 << 40)


def silent(request: Request) -> None:
    start, stop = request.ranges[0]
    request.answer(206, b"", stop - start, Content_Range=f"bytes {start}-{stop - 1}/{len(request.file)}")
    request.slowly(bytes(50), bytes_a_second=10)
    request.close_connection = True


BEHAVIOURS: tuple[tuple[Behaviour, str], ...] = (
    (gone, "http-status"),
    (dropped, "http-status"),
    (half, "http-status"),
    (wrong, "digest-mismatch"),
    (another, "server-content"),
)


@pytest.fixture
def server(world: World) -> Iterator[Odd]:
    with Odd(world.make_delta(world.v2)[0].read_bytes(), gone) as odd:
        yield odd


def resident() -> int:
    """Bytes of memory in use."""
    gc.collect()
    text = Path("/proc/self/status").read_text()
    match = re.search(r"^VmRSS:\s+(\d+) kB$", text, re.MULTILINE)
    assert match
    return int(match[1]) << 10


def left_behind() -> tuple[int, int]:
    """Threads and descriptors, once those of the server had time to end."""
    deadline, last = time.monotonic() + 5, (0, 0)
    while time.monotonic() < deadline:
        now = threading.active_count(), len(os.listdir("/proc/self/fd"))
        if now == last:
            return now
        last = now
        time.sleep(0.3)
    return last


def test_failing_updates_leave_nothing_behind(
    world: World, server: Odd, capsys: pytest.CaptureFixture[str]
) -> None:
    world.write_config(network="network = { retries = 0, timeout_s = 2 }")
    swu = world.make_delta_package(world.v2, server.url)
    failed, memory, before = 0, 0, (0, 0)
    while failed < UPDATES:
        behaviour, code = BEHAVIOURS[failed % len(BEHAVIOURS)]
        server.behaviour = behaviour
        world.reset()
        outcome = world.ota("install", swu)
        assert outcome.code == code, (behaviour, outcome.errors)
        failed += 1
        if failed == UPDATES // 4:
            memory, before = resident(), left_behind()
    assert left_behind() <= before
    assert resident() - memory <= MAX_GROWTH
    with capsys.disabled():
        print(f"\nfailures injected: {failed}, violations: 0")


def test_a_stalled_update_leaves_nothing_behind(world: World, server: Odd) -> None:
    world.write_config(network="network = { retries = 0, timeout_s = 1 }")
    swu = world.make_delta_package(world.v2, server.url)
    world.ota("plan", swu)
    before = left_behind()
    for _ in range(3):
        server.behaviour = silent
        assert world.ota("install", swu).code == "connect"
    time.sleep(5)  # until the server has said all
    assert left_behind() <= before
