"""`ota install -` and named pipes: who writes may stop, go on, or fall silent."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ota.tests.world import SLOT_SIZE, World

PAYLOAD = random.Random(3).randbytes(1 << 20)


@pytest.fixture
def package(world: World) -> bytes:
    image = world.folder / "system.img"
    image.write_bytes(PAYLOAD)
    return world.make_package(world.description(world.raw_entry(image)), image).read_bytes()


def installed(world: World) -> bool:
    return world.slot_b.read_bytes() == PAYLOAD + b"\xff" * (SLOT_SIZE - len(PAYLOAD))


def command(world: World) -> list[str]:
    config = world.folder / "device.toml"
    return [sys.executable, "-m", "ota.cli", "--config", str(config), "install", "-", "--json"]


def start(world: World) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(world), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )


def code(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout
    return str(json.loads(process.stdout.read())["error"]["code"])


def test_a_pipe_that_stays_open_is_not_waited_for(world: World, package: bytes) -> None:
    with start(world) as process:
        assert process.stdin
        process.stdin.write(package)
        assert process.wait(20) == 0  # the pipe is open still
    assert installed(world)


def test_a_pipe_that_trickles_after_the_package_is_not_waited_for(world: World, package: bytes) -> None:
    with start(world) as process:
        assert process.stdin
        process.stdin.write(package)
        began = time.monotonic()
        while process.poll() is None:
            assert time.monotonic() - began < 20
            try:
                process.stdin.write(b"\0")
            except BrokenPipeError:
                break
            time.sleep(0.05)
        assert process.wait(20) == 0
    assert installed(world)


@pytest.mark.parametrize("size", [1, 511, 4096, 1 << 20])
def test_garbage_behind_the_trailer_does_not_matter(world: World, package: bytes, size: int) -> None:
    with start(world) as process:
        process.communicate(package + random.Random(size).randbytes(size))
        assert process.returncode == 0
    assert installed(world)


@pytest.mark.parametrize("left", [0, 5, 110, 3000, len(PAYLOAD) // 2])
def test_a_pipe_that_ends_early_changes_nothing(world: World, package: bytes, left: int) -> None:
    untouched = world.untouched()
    with start(world) as process:
        assert process.stdin
        process.stdin.write(package[:left])
        process.stdin.close()
        assert code(process) == "archive-truncated"
    assert untouched()


def test_a_pipe_that_comes_byte_by_byte(world: World) -> None:
    image = world.folder / "small.img"
    image.write_bytes(b"small")
    package = world.make_package(world.description(world.raw_entry(image)), image).read_bytes()
    with start(world) as process:
        assert process.stdin
        for place in range(len(package)):
            process.stdin.write(package[place : place + 1])
        process.stdin.close()
        assert process.wait() == 0
    assert world.slot_b.read_bytes()[:6] == b"small\xff"


def test_a_named_pipe(world: World, package: bytes) -> None:
    path = world.folder / "pipe"
    os.mkfifo(path)
    writing = threading.Thread(target=lambda: path.write_bytes(package))
    writing.start()
    assert world.ota("install", path).status == 0
    writing.join()
    assert installed(world)


def test_what_cannot_be_read_is_named(world: World) -> None:
    with (world.folder / "nothing").open("wb") as unreadable:
        done = subprocess.run(command(world), stdin=unreadable, stdout=subprocess.PIPE)
    assert json.loads(done.stdout)["error"]["code"] == "file-missing"


def test_a_path_that_is_no_file(world: World) -> None:
    assert world.ota("install", Path("/proc/self/mem")).code == "file-missing"
