"""`ota install`: the ways in which a package comes, and what the command promises besides installing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ota.tests.world import SLOT_SIZE, World

PAYLOAD = bytes(range(256)) * 20_000


@pytest.fixture
def package(world: World) -> Path:
    image = world.folder / "system.img"
    image.write_bytes(PAYLOAD)
    return world.make_package(world.description(world.raw_entry(image)), image)


def installed(world: World) -> bool:
    return world.slot_b.read_bytes() == PAYLOAD + b"\xff" * (SLOT_SIZE - len(PAYLOAD))


def through_a_pipe(world: World, data: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ota.cli", "--config", str(world.folder / "device.toml")]
    return subprocess.run([*command, "install", "-", "--json"], input=data, capture_output=True)


def test_from_a_file(world: World, package: Path) -> None:
    assert world.ota("install", package).status == 0
    assert installed(world)


def test_through_a_pipe(world: World, package: Path) -> None:
    done = through_a_pipe(world, package.read_bytes())
    assert done.returncode == 0, done.stderr
    assert installed(world)
    assert json.loads(done.stdout)["written_bytes"] == len(PAYLOAD)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
def test_a_pipe_that_breaks_off_changes_nothing(world: World, package: Path, share: float) -> None:
    untouched = world.untouched()
    data = package.read_bytes()
    done = through_a_pipe(world, data[: int(len(data) * share)])
    assert json.loads(done.stdout)["error"]["code"] in ("archive-truncated", "archive-checksum")
    assert untouched()


@pytest.mark.parametrize("secure", [True, False], ids=["https", "http"])
def test_from_a_server(world: World, package: Path, secure: bool) -> None:
    shutil.copy(package, world.publish / "update.swu")
    url = world.server.url if secure else world.server.plain_url
    outcome = world.ota("install", f"{url}/update.swu")
    assert outcome.status == 0, outcome
    assert installed(world)


def test_from_a_server_that_has_none(world: World) -> None:
    untouched = world.untouched()
    assert world.ota("install", f"{world.server.url}/none.swu").code == "http-status"
    assert untouched()


def test_nothing_of_a_package_stays_in_the_state_folder(world: World, package: Path) -> None:
    through_a_pipe(world, package.read_bytes())
    files = sorted(path.name for path in (world.folder / "state").rglob("*") if path.is_file())
    assert files == ["b.json", "b.zck-header", "last.json", "lock", "update.json"]


def test_a_dry_run_changes_nothing(world: World, package: Path) -> None:
    untouched = world.untouched()
    outcome = world.ota("install", package, "--dry-run")
    assert (outcome.status, outcome.answer["written_bytes"]) == (0, len(PAYLOAD))
    assert untouched()


def test_two_at_once_are_one_too_many(world: World, package: Path) -> None:
    untouched = world.untouched()
    with (world.folder / "state/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert world.ota("install", package).code == "busy"
    assert untouched()
    assert world.ota("install", package).status == 0


def test_the_last_result_is_remembered(world: World, package: Path) -> None:
    world.ota("install", package)
    assert world.ota("status").answer["last"]["version"] == "2.0"  # type: ignore[index]  # JSON
    world.write_config(revision='revision = "9"')
    world.ota("install", package)
    last = world.ota("status").answer["last"]
    assert last["error"]["code"] == "hardware-mismatch"  # type: ignore[index]  # JSON


def test_markers_that_the_description_does_not_want_are_not_set(world: World) -> None:
    image = world.folder / "system.img"
    image.write_bytes(PAYLOAD)
    wanted = world.description(world.raw_entry(image)).replace(
        'version = "2.0";',
        'version = "2.0"; bootloader_transaction_marker = false; bootloader_state_marker = false;',
    )
    assert world.ota("install", world.make_package(wanted, image)).status == 0
    assert world.environment.read_text() == "boot_slot=b\n"


@pytest.mark.parametrize(("flag", "expected"), [([], True), (["--no-reboot"], False)], ids=["yes", "no"])
def test_the_reboot_command_runs_after_success(
    world: World, package: Path, flag: list[str], expected: bool
) -> None:
    done = world.folder / "rebooted"
    done.unlink(missing_ok=True)
    world.write_config(
        boot=f'boot = {{ environment = "file", path = "bootenv", reboot = ["touch", "{done}"] }}'
    )
    assert world.ota("install", package, *flag).status == 0
    assert done.exists() == expected


def test_descriptors_and_memory_do_not_pile_up(world: World, package: Path) -> None:
    """Failing updates in one process: what one leaves open would end the service that runs them."""
    swu = package.read_bytes()
    broken = world.folder / "broken.swu"
    broken.write_bytes(swu[: len(swu) // 2])
    world.ota("install", broken)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        assert world.ota("install", broken).code == "archive-truncated"
    assert len(os.listdir("/proc/self/fd")) <= before
