"""`ota confirm` and `ota rollback`: how people end a trial boot, or leave a release."""

from __future__ import annotations

import pytest

from ota.boot.file import FileEnvironment
from ota.tests.machine import Machine, codes
from ota.tests.world import World, sha256


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Machine:
    caplog.set_level("INFO")
    return Machine(world, monkeypatch)


@pytest.fixture
def trial(machine: Machine) -> Machine:
    """2.0 in slot b is on trial."""
    machine.offer("2.0")
    machine.ota("boot", "--no-reboot")
    machine.start()
    return machine


@pytest.fixture
def settled(trial: Machine) -> Machine:
    """3.0 in slot a runs, confirmed; 2.0 in slot b was so before."""
    trial.ota("confirm")
    trial.offer("3.0")
    trial.ota("boot", "--no-reboot")
    assert trial.start() == "a"
    trial.ota("confirm")
    return trial


def test_confirm_ends_a_trial_once(trial: Machine) -> None:
    first, second = trial.ota("confirm"), trial.ota("confirm")
    assert (first.status, first.answer["confirmed"]) == (0, True)
    assert (second.status, second.answer["confirmed"]) == (0, False)
    assert [trial.start() for _ in range(5)] == ["b"] * 5


def test_confirm_of_what_does_not_run_yet_is_refused(machine: Machine) -> None:
    machine.ota("install", machine.make("2.0"))
    assert machine.ota("confirm").code == "boot-state"
    assert machine.variables()["ustate"] == "1"


def test_a_trial_is_rolled_back(trial: Machine) -> None:
    outcome = trial.ota("rollback")
    assert (outcome.status, outcome.answer["restart"]) == (0, True)
    assert trial.restart() == "a"
    assert (trial.update()["outcome"], trial.update()["reason"]) == ("rolled back", "ota rollback")
    assert trial.ota("boot").answer["installed"] is None  # it is not installed again


def test_no_reboot_leaves_the_restart_to_somebody_else(trial: Machine) -> None:
    trial.ota("rollback", "--no-reboot")
    assert not trial.asked_to_reboot()


def test_rolled_back_twice_is_rolled_back_once(trial: Machine) -> None:
    trial.ota("rollback", "--no-reboot")
    before = trial.variables()
    assert trial.ota("rollback").status == 0
    assert trial.variables() == before
    assert trial.restart() == "a"
    again = trial.ota("rollback")
    assert (again.status, again.answer["restart"]) == (0, False)
    assert trial.start() == "a"


def test_a_slot_rolled_back_to_that_holds_nothing_does_not_keep_updates_out(
    trial: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    trial.ota("rollback", "--no-reboot")
    assert trial.start(loads=False) == "b"  # the one that was left
    again = trial.ota("rollback", "--no-reboot")
    assert (again.status, again.answer["restart"]) == (0, True)
    trial.offer("2.1")
    assert trial.ota("boot", "--no-reboot").status == 0
    assert "the boot loader took the other slot" in caplog.text
    assert trial.start() == "a"
    assert trial.update()["version"] == "2.1"


def test_nothing_is_installed_between_a_rollback_and_its_restart(trial: Machine) -> None:
    trial.ota("rollback", "--no-reboot")
    trial.offer("2.1")
    assert trial.ota("boot", "--no-reboot").answer["installed"] is None
    assert trial.start() == "a"


def test_an_update_that_waits_for_its_restart_is_called_off(machine: Machine) -> None:
    machine.offer("2.0")
    machine.ota("boot", "--no-reboot")
    outcome = machine.ota("rollback")
    assert (outcome.status, outcome.answer["restart"]) == (0, False)
    assert machine.start() == "a"
    assert machine.ota("boot").answer["installed"] is None


def test_a_confirmed_release_makes_way_for_the_one_before_on_trial(settled: Machine) -> None:
    assert settled.ota("rollback").status == 0
    assert settled.restart() == "b"
    assert settled.variables()["ustate"] == "2"
    settled.ota("boot")
    assert settled.variables()["ustate"] == "0"
    assert (settled.update()["version"], settled.update()["outcome"]) == ("2.0", "confirmed")
    assert settled.ota("boot").answer["installed"] is None  # 3.0 lies there, and was left
    settled.offer("3.1")
    settled.ota("boot")
    assert settled.update()["version"] == "3.1"


def test_the_release_before_comes_back_once_and_not_back_again(settled: Machine) -> None:
    settled.ota("rollback", "--no-reboot")
    before = settled.variables()
    outcome = settled.ota("rollback")
    assert (outcome.status, outcome.answer["restart"]) == (0, True)
    assert settled.variables() == before


def test_a_release_before_that_does_not_start_gives_way_again(settled: Machine) -> None:
    settled.ota("rollback", "--no-reboot")
    assert [settled.start() for _ in range(4)] == ["b", "b", "b", "a"]
    settled.ota("boot")
    assert settled.update()["told"] == (
        "2.0 in slot b: fell back, it did not start in 3 tries; slot a (3.0) runs"
    )


def test_a_slot_of_which_nothing_is_known_is_not_started(trial: Machine) -> None:
    trial.ota("confirm")
    before = trial.variables()
    assert trial.ota("rollback").code == "slot-no-manifest"
    assert trial.variables() == before


def test_a_half_written_slot_is_not_started(settled: Machine) -> None:
    slots = settled.world.folder / "state/slots"
    (slots / "b.pending.zck-header").write_bytes((slots / "a.zck-header").read_bytes())
    assert settled.ota("rollback").code == "slot-no-manifest"


def test_nor_at_the_end_of_a_trial(trial: Machine) -> None:
    slots = trial.world.folder / "state/slots"
    (slots / "a.pending.zck-header").write_bytes((slots / "b.zck-header").read_bytes())
    before = trial.variables()
    assert trial.ota("rollback").code == "slot-no-manifest"
    assert trial.variables() == before


def test_a_missing_slot_is_not_started(settled: Machine) -> None:
    settled.world.slot_b.unlink()
    assert settled.ota("rollback").code == "slot-unreadable"


@pytest.fixture
def patched(machine: Machine) -> Machine:
    """An update of a single file runs: no slot was switched, and nobody knows what lies in the other one."""
    file = machine.world.folder / "app.conf"
    file.write_text("new\n")
    entry = (
        f'{{ filename = "{file.name}"; type = "rawfile"; path = "{machine.world.folder}/there"; '
        f'sha256 = "{sha256(file)}"; }}'
    )
    description = (
        'software = { version = "1.1"; hardware-compatibility: [ "1.0" ]; stable = { copy-b = { '
        f"files: ( {entry} ); }}; }}; }}\n"
    )
    assert machine.ota("install", machine.world.make_package(description, file)).status == 0
    assert machine.start() == "a"
    return machine


def test_what_switched_no_slot_is_never_rolled_back_into_the_other_one(patched: Machine) -> None:
    before = patched.variables()
    assert patched.ota("rollback").code == "boot-state"
    assert patched.variables() == before


def test_what_switched_no_slot_and_is_not_well_is_said_and_stays(patched: Machine) -> None:
    patched.configure(more='[health]\ncommands = [["false"]]\n')
    assert codes(patched.ota("boot")) == ["health-check"]
    assert [patched.start() for _ in range(5)] == ["a"] * 5


@pytest.mark.parametrize("verb", ["confirm", "rollback"])
def test_in_the_middle_of_an_installation_it_is_refused(settled: Machine, verb: str) -> None:
    FileEnvironment(settled.world.environment).apply({"recovery_status": "in_progress", "ustate": "7"})
    before = settled.variables()
    assert settled.ota(verb).code == "boot-state"
    assert settled.variables() == before
