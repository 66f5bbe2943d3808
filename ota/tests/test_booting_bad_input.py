"""`ota boot` where something is wrong with the device: a clear line, and the running system goes on."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ota.boot.uboot import UBootEnvironment
from ota.tests.machine import Machine, codes
from ota.tests.media import COPY_SIZE, make_uboot
from ota.tests.vendor import FindTool
from ota.tests.world import World

Log = pytest.LogCaptureFixture


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch, caplog: Log) -> Machine:
    caplog.set_level("INFO")
    return Machine(world, monkeypatch)


@contextmanager
def small(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own over a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def on_uboot(machine: Machine, tool: FindTool) -> Path:
    """Give it U-Boot's two copies on a medium; returns that."""
    config = make_uboot(machine.world.folder, tool)
    machine.configure(environment=f'environment = "uboot"\npath = "{config}"')
    return machine.world.folder / "medium"


def test_no_environment_at_all(machine: Machine, tool: FindTool) -> None:
    machine.offer("2.0")
    on_uboot(machine, tool).unlink()
    outcome = machine.ota("boot")
    assert (outcome.status, codes(outcome)) == (4, ["boot-environment"])
    assert outcome.answer["installed"] is None


def test_both_copies_of_it_damaged_and_none_is_written(machine: Machine, tool: FindTool) -> None:
    machine.offer("2.0")
    medium = on_uboot(machine, tool)
    medium.write_bytes(damaged := bytes(range(256)) * (2 * COPY_SIZE // 256))
    outcome = machine.ota("boot")
    assert (outcome.status, codes(outcome)) == (4, ["boot-environment"])
    assert bool(medium.read_bytes() == damaged)
    assert machine.ota("confirm").code == machine.ota("rollback").code == "boot-environment"
    assert bool(medium.read_bytes() == damaged)


def test_one_damaged_copy_is_no_reason_to_complain(machine: Machine, tool: FindTool) -> None:
    medium = on_uboot(machine, tool)
    data = bytearray(medium.read_bytes())
    data[100] ^= 1
    medium.write_bytes(data)
    assert machine.ota("boot").status == 0


def test_a_slot_that_the_board_does_not_know(machine: Machine, tool: FindTool, caplog: Log) -> None:
    machine.offer("2.0")
    medium = on_uboot(machine, tool)
    UBootEnvironment(machine.world.folder / "fw_env.config").apply({"boot_slot": "c"})
    before = medium.read_bytes()
    outcome = machine.ota("boot")
    assert (outcome.status, codes(outcome)) == (4, ["boot-environment"])
    assert "expected boot_slot=a or boot_slot=b, found boot_slot=c" in caplog.text
    assert bool(medium.read_bytes() == before)
    assert machine.ota("install", machine.updates, "--no-reboot").status == 0  # as the hint says


def test_a_slot_that_the_disk_lacks(machine: Machine, caplog: Log) -> None:
    machine.world.slot_b.unlink()
    machine.offer("2.0")
    outcome = machine.ota("boot")
    assert (outcome.status, codes(outcome)) == (4, ["slot-unreadable"])
    assert str(machine.world.slot_b) in caplog.text
    assert machine.variables() == {"boot_slot": "a"}


def test_a_trial_boot_is_confirmed_though_the_other_slot_is_missing(machine: Machine) -> None:
    on_trial(machine)
    machine.world.slot_a.unlink()
    assert machine.ota("boot").status == 4
    assert machine.variables()["ustate"] == "0"


def on_trial(machine: Machine) -> None:
    machine.ota("install", machine.make("2.0"))
    assert machine.start() == "b"


def test_a_package_for_another_board(machine: Machine, caplog: Log) -> None:
    shutil.move(machine.make("2.0", board="^9"), machine.updates / "other.swu")
    outcome = machine.ota("boot")
    assert (outcome.status, outcome.answer["installed"]) == (0, None)
    assert "hardware-mismatch" in caplog.text


@pytest.mark.parametrize("key", [False, True], ids=["certificates", "a public key, too"])
def test_a_clock_in_1970_asks_no_server_and_judges_no_certificate(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: Log, key: bool
) -> None:
    url = f"{machine.world.server.url}/2.0.swu"
    shutil.move(machine.make("2.0"), machine.world.publish / "2.0.swu")
    machine.offer("1.5")
    machine.configure(boot=f'packages = ["{url}", "{machine.updates}"]', **trusting(machine, key=key))
    asked = len(machine.world.server.requests())
    monkeypatch.setattr(time, "time", lambda: 60.0)
    outcome = machine.ota("boot")
    assert codes(outcome) == (["clock-wrong"] if key else ["clock-wrong"] * 2)
    assert "expected >= 2025-01-01T00:00:00Z, found 1970-01-01T00:01:00Z" in caplog.text
    assert len(machine.world.server.requests()) == asked
    assert bool(outcome.answer["installed"]) == key


def trusting(machine: Machine, *, key: bool) -> dict[str, str]:
    """A line of device.toml."""
    if not key:
        return {}
    folder = machine.world.folder
    command: list[str | Path] = [
        "openssl",
        "pkey",
        "-in",
        folder / "signer.key",
        "-pubout",
        "-out",
        folder / "public.pem",
    ]
    subprocess.run(command, check=True)
    return {"trust": 'trust = { certificates = ["signer.pem"], public_keys = ["public.pem"] }'}


def test_a_clock_before_the_last_update_is_wrong_too(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_trial(machine)
    machine.configure(boot='packages = ["https://127.0.0.1:1/2.0.swu"]')
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 2 * 86_400)
    assert codes(machine.ota("boot")) == ["clock-wrong"]


@pytest.mark.parametrize(
    ("what", "options"),
    [("full", "size=16k,nr_inodes=4"), ("read-only", "size=1m")],
    ids=["full", "read-only"],
)
def test_a_state_folder_that_cannot_be_written(
    machine: Machine, caplog: Log, what: str, options: str
) -> None:
    on_trial(machine)
    machine.offer("3.0")
    state = machine.world.folder / "state"
    with small(state, options):
        if what == "full":
            (state / "ballast").write_bytes(bytes(1 << 12))
            with pytest.raises(OSError, match="No space"):
                (state / "more").write_bytes(bytes(1 << 14))
        else:
            subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        outcome = machine.ota("boot")
    assert machine.variables()["ustate"] == "0"  # it was confirmed
    assert {"full": "disk-full", "read-only": "state-unwritable"}[what] in caplog.text
    assert (outcome.status, outcome.answer["restart"]) == (4, False)
    assert machine.variables()["boot_slot"] == "b"


def test_no_network(machine: Machine) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    machine.offer("2.0")
    machine.configure(boot=f'packages = ["https://127.0.0.1:{port}/2.0.swu", "{machine.updates}"]')
    outcome = machine.ota("boot")
    assert (outcome.status, codes(outcome)) == (5, ["connect"])
    assert machine.restart() == "b"  # from the next source


def test_a_server_that_has_no_package(machine: Machine) -> None:
    machine.configure(boot=f'packages = ["{machine.world.server.url}/none.swu"]')
    outcome = machine.ota("boot")
    assert (outcome.status, codes(outcome)) == (5, ["http-status"])


def test_a_server_that_nobody_vouches_for(machine: Machine) -> None:
    shutil.move(machine.make("2.0"), machine.world.publish / "2.0.swu")
    machine.configure(boot=f'packages = ["{machine.world.server.url}/2.0.swu"]')
    other = machine.world.folder / "signer.pem"
    config = machine.world.folder / "device.toml"
    config.write_text(config.read_text().replace("nginx/tls-ca.pem", str(other)))
    outcome = machine.ota("boot")
    assert (outcome.status, codes(outcome)) == (5, ["tls"])


def test_a_folder_that_is_not_there_is_no_fault(machine: Machine) -> None:
    machine.updates.rmdir()
    assert machine.ota("boot").status == 0


def test_a_damaged_package_leaves_the_next_source(machine: Machine) -> None:
    package = machine.offer("3.0")
    package.write_bytes(package.read_bytes()[:-3000])
    shutil.move(machine.make("2.0"), machine.world.publish / "2.0.swu")
    machine.configure(boot=f'packages = ["{machine.updates}", "{machine.world.server.url}/2.0.swu"]')
    outcome = machine.ota("boot")
    assert codes(outcome) == ["archive-truncated"] and machine.update()["version"] == "2.0"
