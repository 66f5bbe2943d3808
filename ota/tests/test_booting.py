"""`ota boot`: what a device does after each start, from the first look to the next update."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.boot.file import FileEnvironment
from ota.errors import DeviceError
from ota.tests.machine import Machine, codes
from ota.tests.world import World

TRIES = 3

Log = pytest.LogCaptureFixture


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch, caplog: Log) -> Machine:
    caplog.set_level("INFO")
    return Machine(world, monkeypatch)


def fall_back(machine: Machine) -> None:
    """Start what is on trial until the boot loader gives it up."""
    assert [machine.start() for _ in range(TRIES + 1)] == ["b"] * TRIES + ["a"]


def fail_health(machine: Machine) -> None:
    machine.configure(more='[health]\ncommands = [["sh", "-c", "echo no database; exit 3"]]\n')


def test_with_nothing_to_do_it_does_nothing(machine: Machine) -> None:
    machine.start()
    untouched = machine.world.untouched()
    outcome = machine.ota("boot")
    assert (outcome.status, outcome.answer["problems"], outcome.answer["restart"]) == (0, [], False)
    assert untouched() and not machine.asked_to_reboot()


def test_it_installs_restarts_and_confirms(machine: Machine, caplog: Log) -> None:
    machine.offer("2.0")
    assert machine.ota("boot").status == 0
    assert machine.update()["outcome"] == "pending"
    assert machine.restart() == "b"
    assert machine.ota("boot").status == 0
    assert "trial boot" in caplog.text and "no health checks" in caplog.text
    assert machine.variables() == {"boot_slot": "b", "ustate": "0", "boot_tries": "0"}
    assert machine.update()["outcome"] == "confirmed"
    assert not machine.asked_to_reboot()


def test_it_leaves_signals_as_they_were(machine: Machine) -> None:
    before = signal.getsignal(signal.SIGTERM)
    machine.offer("2.0")
    machine.ota("boot")
    assert machine.asked_to_reboot()
    assert signal.getsignal(signal.SIGTERM) is before


def test_told_to_end_it_ends_and_stops_the_watchdog(machine: Machine) -> None:
    watchdog, begun = machine.world.folder / "watchdog", machine.world.folder / "begun"
    watchdog.touch()
    begun.unlink(missing_ok=True)
    machine.offer("2.0")
    commands = f'[commands]\nbefore = ["sh", "-c", "touch {begun}; sleep 600"]\n'
    machine.configure(more=f'{commands}[watchdog]\ndevice = "{watchdog}"\n')
    process = machine.world.start("boot")
    deadline = time.monotonic() + 20
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert watchdog.read_bytes().endswith(b"V")


def test_no_reboot_leaves_the_restart_to_somebody_else(machine: Machine) -> None:
    machine.offer("2.0")
    assert machine.ota("boot", "--no-reboot").answer["restart"] is True
    assert not machine.asked_to_reboot()


def test_run_again_before_the_restart_it_only_says_that_this_is_due(machine: Machine, caplog: Log) -> None:
    machine.offer("2.0")
    machine.ota("boot", "--no-reboot")
    machine.offer("3.0")
    before = machine.variables()
    assert machine.ota("boot").status == 0
    assert "restart is due" in caplog.text
    assert (machine.variables(), machine.update()["version"]) == (before, "2.0")


def test_one_update_follows_the_other_until_nothing_is_new(machine: Machine) -> None:
    for version, slot in (("2.0", "b"), ("3.0", "a"), ("4.0", "b")):
        machine.offer(version)
        machine.ota("boot")
        assert machine.restart() == slot
        machine.ota("boot")
        assert (machine.update()["version"], machine.update()["outcome"]) == (version, "confirmed")
    machine.start()
    untouched = machine.world.untouched()
    machine.ota("boot")
    assert untouched()


@pytest.mark.parametrize("version", ["1.5", "2.0"])
def test_neither_the_version_that_runs_nor_a_lower_one_is_taken(machine: Machine, version: str) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.restart()
    machine.ota("boot")
    (machine.updates / "2.0.swu").unlink()
    machine.offer(version, b"another build")
    outcome = machine.ota("boot")
    assert (outcome.status, outcome.answer["installed"]) == (0, None)
    assert machine.ota("install", machine.updates / f"{version}.swu", "--no-reboot").status == 0


def test_a_fall_back_is_noticed_told_and_not_repeated(machine: Machine, caplog: Log) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.asked_to_reboot()
    fall_back(machine)
    outcome = machine.ota("boot")
    assert "2.0 in slot b: fell back, it did not start in 3 tries; slot a runs" in caplog.text
    assert "not new to this device" in caplog.text
    assert (outcome.status, outcome.answer["installed"]) == (0, None)
    assert machine.update()["told"] == "2.0 in slot b: fell back, it did not start in 3 tries; slot a runs"
    caplog.clear()
    machine.start()
    machine.ota("boot")
    assert "fell back" not in caplog.text  # it is no news any more


def test_after_a_fall_back_the_next_good_release_installs(machine: Machine) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.asked_to_reboot()
    fall_back(machine)
    machine.offer("2.1")
    machine.ota("boot")
    assert machine.restart() == "b"
    machine.ota("boot")
    assert (machine.update()["version"], machine.update()["outcome"]) == ("2.1", "confirmed")
    assert machine.start() == "b"


def test_what_fell_back_stays_refused_behind_other_updates_but_the_operator_may_install_it(
    machine: Machine,
) -> None:
    bad = machine.offer("9.0")
    machine.ota("boot")
    machine.asked_to_reboot()
    fall_back(machine)
    machine.offer("2.0")
    machine.ota("boot")
    machine.restart()
    machine.ota("boot")
    assert machine.update()["version"] == "2.0"
    assert machine.ota("boot").answer["installed"] is None
    assert machine.ota("install", bad, "--no-reboot").status == 0
    assert machine.start() == "a"
    machine.ota("boot")
    assert (machine.update()["version"], machine.update()["outcome"]) == ("9.0", "confirmed")
    assert json.loads((machine.world.folder / "state/update.json").read_text())["refused"] == []


def test_a_fall_back_from_what_another_program_installed_is_told_too(machine: Machine, caplog: Log) -> None:
    FileEnvironment(machine.world.environment).apply({"boot_slot": "b", "ustate": "1"})
    fall_back(machine)
    assert machine.ota("boot").status == 0
    assert "the update in slot b: fell back, it did not start in 3 tries" in caplog.text


def test_what_another_program_installs_is_not_taken_for_what_was_in_its_slot(
    machine: Machine, caplog: Log
) -> None:
    for version, slot in (("2.0", "b"), ("3.0", "a")):
        machine.offer(version)
        machine.ota("boot")
        assert machine.restart() == slot
        machine.ota("confirm")
    FileEnvironment(machine.world.environment).apply({"boot_slot": "b", "ustate": "1"})
    assert machine.start() == "b"
    caplog.clear()
    assert machine.ota("boot", "--no-reboot").status == 0
    assert "another program has installed slot b" in caplog.text
    assert (
        "the update in slot b: confirmed" in caplog.text and "2.0" not in caplog.text.split("is looked at")[0]
    )
    machine.ota("confirm")
    slots = machine.ota("status").answer["slots"]
    assert isinstance(slots, dict)
    assert (slots["a"]["version"], slots["b"]["content"]) == ("3.0", "unknown")


def test_a_boot_loader_that_cannot_count_starts_the_old_system_and_that_is_told(
    machine: Machine, caplog: Log
) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    assert machine.restart() == "b"
    assert machine.start(stores=False) == "a"
    machine.ota("boot")
    assert "the boot loader could not start it" in caplog.text
    assert machine.variables()["boot_slot"] == "a"
    assert machine.start() == "a"


def test_what_the_boot_loader_could_not_begin_to_try_is_not_installed_again(machine: Machine) -> None:
    machine.offer("2.0")
    machine.ota("boot", "--no-reboot")
    assert machine.start(stores=False) == "a"
    assert machine.ota("boot").answer["installed"] is None
    assert machine.start() == "b"


def test_a_failing_health_check_brings_the_old_system_back(machine: Machine, caplog: Log) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.restart()
    fail_health(machine)
    outcome = machine.ota("boot")
    assert outcome.status == DeviceError.exit_status
    assert codes(outcome) == ["health-check"]
    assert machine.restart() == "a"
    told = machine.update()["told"]
    assert isinstance(told, str) and "rolled back" in told and "no database" in told and "slot a runs" in told
    assert machine.ota("boot").answer["installed"] is None
    assert machine.start() == "a"


def test_what_was_rolled_back_to_is_not_written_over(machine: Machine) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.restart()
    machine.offer("3.0")
    fail_health(machine)
    assert machine.ota("boot").answer["installed"] is None
    assert machine.restart() == "a"
    machine.configure(more="")
    machine.ota("boot")
    assert machine.restart() == "b"
    assert machine.update()["version"] == "3.0"


def test_a_second_look_after_a_roll_back_does_not_undo_it(machine: Machine) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.restart()
    fail_health(machine)
    machine.ota("boot", "--no-reboot")
    machine.offer("3.0")  # it would be written over the system that is to come back
    assert machine.ota("boot", "--no-reboot").answer["installed"] is None
    assert machine.start() == "a"


def test_passing_health_checks_confirm(machine: Machine) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.restart()
    checked = machine.world.folder / "checked"
    machine.configure(more=f'[health]\ncommands = [["true"], ["touch", "{checked}"]]\n')
    assert machine.ota("boot").status == 0
    assert checked.exists() and machine.variables()["ustate"] == "0"


def test_health_is_not_checked_where_nothing_is_on_trial(machine: Machine) -> None:
    fail_health(machine)
    machine.start()
    assert machine.ota("boot").status == 0


def test_a_power_cut_in_the_health_check_is_another_try(machine: Machine) -> None:
    machine.offer("2.0")
    machine.ota("boot")
    machine.restart()
    assert machine.start() == "b"
    assert machine.variables()["boot_tries"] == "2"
    machine.ota("boot")
    assert machine.variables()["boot_tries"] == "0"


def test_an_interrupted_update_is_finished(machine: Machine, caplog: Log) -> None:
    package = machine.offer("2.0")
    FileEnvironment(machine.world.environment).apply({"recovery_status": "in_progress", "ustate": "7"})
    assert machine.start() == "a"
    assert machine.ota("boot").status == 0
    assert "an update of slot b was interrupted" in caplog.text
    assert machine.restart() == "b", package


def test_beside_another_command_it_says_busy(machine: Machine) -> None:
    with (machine.world.folder / "state/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [machine.ota(verb).code for verb in ("boot", "confirm", "rollback")] == ["busy"] * 3


def test_the_record_is_there_before_the_switch(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    apply: Callable[[FileEnvironment, dict[str, str | None]], None] = FileEnvironment.apply
    seen: list[object] = []

    def watched(self: FileEnvironment, changes: dict[str, str | None]) -> None:
        if changes.get("ustate") == "1":
            seen.append(json.loads((machine.world.folder / "state/update.json").read_text())["outcome"])
        apply(self, changes)

    monkeypatch.setattr(FileEnvironment, "apply", watched)
    machine.ota("install", machine.make("2.0"))
    assert seen == ["pending"]


def test_a_switch_that_fails_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    apply: Callable[[FileEnvironment, dict[str, str | None]], None] = FileEnvironment.apply

    def broken(self: FileEnvironment, changes: dict[str, str | None]) -> None:
        if changes.get("ustate") == "1":
            raise DeviceError("boot-environment", "worn out")
        apply(self, changes)

    monkeypatch.setattr(FileEnvironment, "apply", broken)
    assert machine.ota("install", machine.make("2.0")).code == "boot-environment"
    assert (machine.update()["outcome"], machine.update()["reason"]) == ("failed", "boot-environment")


def test_what_is_not_new_is_not_the_last_thing_that_was_done(machine: Machine) -> None:
    package = machine.make("2.0")
    shutil.copy(package, machine.world.publish / "2.0.swu")
    machine.configure(boot=f'packages = ["{machine.world.server.url}/2.0.swu"]')
    machine.ota("boot")
    machine.restart()
    machine.ota("boot")
    last = machine.ota("status").answer["last"]
    assert isinstance(last, dict) and "error" not in last and last["version"] == "2.0"


def test_status_says_in_words_where_an_update_stands(machine: Machine) -> None:
    def boot() -> tuple[object, ...]:
        said = machine.ota("status").answer["boot"]
        assert isinstance(said, dict)
        return tuple(said[name] for name in ("slot", "state", "tries", "limit"))

    assert boot() == ("a", "nothing on trial", 0, TRIES)
    machine.ota("install", machine.make("2.0"))
    assert boot() == ("b", "installed, not tried yet", 0, TRIES)
    machine.start()
    assert boot() == ("b", "on trial", 1, TRIES)


def test_its_lines_stand_among_those_of_the_console(machine: Machine) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "ota.cli",
        "--config",
        machine.world.folder / "device.toml",
        "boot",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[0] == "ota: slot a runs: nothing on trial"


def test_it_need_not_look_for_packages(machine: Machine) -> None:
    machine.configure(boot="")
    machine.offer("2.0")
    outcome = machine.ota("boot")
    assert (outcome.status, outcome.answer["installed"]) == (0, None)


def test_a_wrong_word_for_a_source_is_refused(machine: Machine) -> None:
    machine.configure(boot='packages = ["updates"]')
    assert machine.ota("boot").code == "config-value"


def test_the_state_folder_is_made_where_it_is_missing(machine: Machine) -> None:
    machine.offer("2.0")
    state: Path = machine.world.folder / "state"
    state.rmdir()
    assert machine.ota("boot").status == 0
    assert machine.restart() == "b"
