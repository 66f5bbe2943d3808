"""The boot loader's scripts do what the table says: they are run by a shell that knows their few commands.

That they are also what U-Boot and GRUB understand, the emulated boards show (qemu-tests/).
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ota.boot import table
from ota.boot.table import RECOVERY_STATUS, TABLE, TRIES, USTATE, Action, Event, Row, UpdateState
from ota.errors import ConfigError
from packager import bootscript
from packager.cli import main

BOARD = """
name = "bench"
revisions = ["1.0"]
[slots.a]
device = "/dev/mmcblk0p2"
mode = "copy-a"
bootenv = { boot_slot = "a" }
[slots.b]
device = "/dev/mmcblk0p3"
mode = "copy-b"
bootenv = { boot_slot = "b" }
[boot]
tries = 2
[loader]
kind = "KIND"
disk = "DISK"
partitions = { a = 2, b = 3 }
initramfs = "/boot/initrd.img"
arguments = "ro quiet"
"""
DISKS = {"uboot": "mmc 0", "grub": "hd0"}
COMMON = """
starts() { echo "START $1"; if [ -z "$no_kernel" ] || [ "$no_kernel" != "$1" ]; then exit; fi; }
stores() { [ -n "$read_only" ] && return 1; echo "STORE $boot_slot $ustate $boot_tries"; }
"""
UBOOT = """
setenv() { name=$1; shift; eval "$name=\\"\\$*\\""; }
saveenv() { stores; }
load() { return 0; }
booti() { starts "$boot_slot"; false; }
reset() { echo RESET; exit; }
run() { eval "eval \\"\\$$1\\""; }
"""
GRUB = """
load_env() { true; }
save_env() { stores; }
linux() { true; }
initrd() { true; }
boot() { starts "$boot_slot"; false; }
reboot() { echo RESET; exit; }
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a boot loader did: its stores, the slots that it tried to start, in the end a reset or not."""

    stored: tuple[str, ...]
    started: tuple[str, ...]
    reset: bool


@pytest.fixture(params=["uboot", "grub"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def board_file(folder: Path, kind: str) -> str:
    (folder / "bench.toml").write_text(BOARD.replace("KIND", kind).replace("DISK", DISKS[kind]))
    return "bench.toml"


def run(kind: str, script: str, situations: Sequence[Mapping[str, str]]) -> list[Outcome]:
    """Let a shell be the boot loader, once for each situation."""
    if kind == "uboot":
        built_in = dict(line.split("=", 1) for line in script.splitlines())
        program = f"run {built_in['bootcmd'].removeprefix('run ')}"
        head = UBOOT + "".join(
            f"{name}='{value}'\n" for name, value in built_in.items() if name.startswith("otakit_")
        )
    else:
        program, head = re.sub(r"\bset (\w+)=", r"\1=", script), GRUB
    turns = "".join(
        "".join(
            ["(\n", *(f"{name}='{value}'\n" for name, value in given.items()), program, "\n)\necho NEXT\n"]
        )
        for given in situations
    )
    command = ["bash", "-s"]
    done = subprocess.run(command, input=COMMON + head + turns, capture_output=True, text=True, check=False)
    assert not done.stderr
    return [_outcome(said) for said in done.stdout.split("NEXT\n")[:-1]]


def _outcome(said: str) -> Outcome:
    lines = [line.split(" ", 1) for line in said.splitlines()]
    return Outcome(
        tuple(rest[0] for word, *rest in lines if word == "STORE"),
        tuple(rest[0] for word, *rest in lines if word == "START"),
        any(word == "RESET" for word, *_ in lines),
    )


def foreseen(rows: tuple[Row, ...], limit: int, given: Mapping[str, str]) -> Outcome:
    """The same by the table."""
    slot = "b" if given["boot_slot"] == "b" else "a"
    other = "a" if slot == "b" else "b"
    state = table.read_state(given)
    tries = int(given[TRIES]) if given[TRIES].isdigit() else limit
    row = table.find(Event.START, state, named=True, tries_left=tries < limit, table=rows)
    assert row is not None
    stored: tuple[str, ...] = ()
    start = slot
    if row.stores:
        start = other if row.slot is table.Slot.OTHER else slot
        count = table.next_count(row.count, tries)
        after = f"{start} {row.to or state} {given[TRIES] if count is None else count}"
        if given.get("read_only"):
            failed = table.find(Event.NOT_STORED, state, named=True, tries_left=True, table=rows)
            assert failed is not None and failed.action is Action.START_OTHER
            start = other
        else:
            stored = (after,)
    if given.get("no_kernel") != start:
        return Outcome(stored, (start,), reset=False)
    rescue = table.find(Event.NOT_LOADED, state, named=True, tries_left=True, table=rows)
    assert rescue is not None
    if rescue.action is Action.START_OTHER:
        return Outcome(stored, (start, other), reset=False)
    return Outcome(stored, (start,), reset=True)


def situations() -> Iterator[dict[str, str]]:
    for slot, state, recovery, tries, trouble in itertools.product(
        ("", "a", "b", "x"),
        ("", *UpdateState),
        ("", "in_progress", "failed"),
        ("", "0", "1", "2", "3"),
        ({}, {"no_kernel": "a"}, {"no_kernel": "b"}, {"read_only": "1"}),
    ):
        assert isinstance(trouble, dict)
        yield {"boot_slot": slot, USTATE: state, RECOVERY_STATUS: recovery, TRIES: tries, **trouble}


def test_scripts_do_what_the_table_says_in_every_state(kind: str, tmp_path: Path) -> None:
    script = bootscript.write(board_file(tmp_path, kind), tmp_path).text
    given = list(situations())
    outcomes = run(kind, script, given)
    assert len(outcomes) == 4 * 9 * 3 * 5 * 4
    for situation, outcome in zip(given, outcomes, strict=True):
        assert outcome == foreseen(TABLE, 2, situation), situation


def test_a_changed_table_changes_the_scripts(kind: str, tmp_path: Path) -> None:
    name = board_file(tmp_path, kind)
    never = tuple(
        replace(row, to=UpdateState.FAILED, slot=table.Slot.OTHER)
        if row.event is Event.START and row.states == {UpdateState.INSTALLED}
        else row
        for row in TABLE
    )
    changed = bootscript.write(name, tmp_path, never).text
    assert changed != bootscript.write(name, tmp_path).text
    given = {"boot_slot": "b", USTATE: "1", RECOVERY_STATUS: "", TRIES: "0"}
    assert run(kind, changed, [given]) == [Outcome(("a 3 1",), ("a",), reset=False)]


def test_the_command_line_prints_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = board_file(tmp_path, kind)
    monkeypatch.chdir(tmp_path)
    assert main(["bootscript", name]) == 0
    assert capsys.readouterr().out == bootscript.write(name, tmp_path).text


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("kind =", "kinds =", "config-key"),
        ('kind = "uboot"', 'kind = "lilo"', "config-value"),
        ("a = 2, ", "", "config-key"),
        ('"ro quiet"', '"ro \'quiet"', "config-value"),
        ('{ boot_slot = "b" }', '{ boot_part = "b" }', "config-value"),
        ("tries = 2", "tries = 10", "config-value"),
    ],
)
def test_what_makes_no_script_is_refused(tmp_path: Path, old: str, new: str, code: str) -> None:
    name = board_file(tmp_path, "uboot")
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        bootscript.write(name, tmp_path)
    assert caught.value.code == code
