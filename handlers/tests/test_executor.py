"""A package's data on the standard input of a program of the device, and data that nobody wants."""

from __future__ import annotations

import gzip
import os
import subprocess
import time
from pathlib import Path

import pytest

from ota.tests.world import Outcome, World, sha256

DATA = os.urandom(3_000_000)


@pytest.fixture
def program(world: World) -> Path:
    """A program that keeps its input, and its arguments."""
    return write(world.folder / "program", f'cat >{world.folder}/got; echo "$@" >{world.folder}/arguments')


def write(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def install(world: World, data: bytes, properties: str, more: str = "", kind: str = "executor") -> Outcome:
    member = world.folder / "data"
    member.write_bytes(data)
    entry = (
        f'{{ filename = "data"; type = "{kind}"; sha256 = "{sha256(member)}"; '
        f"properties: {{ {properties} }}; {more} }}"
    )
    return world.ota("install", world.make_package(world.description(entry), member))


def test_the_program_gets_the_data_and_its_arguments(world: World, program: Path) -> None:
    more = 'compressed = "zlib";'
    outcome = install(world, gzip.compress(DATA), f'cmd = "{program}"; parms = "-o \'a b\'";', more)
    assert outcome.status == 0
    assert bool((world.folder / "got").read_bytes() == DATA)
    assert (world.folder / "arguments").read_text() == "-o a b\n"


def test_a_program_may_have_enough_before_the_end(world: World) -> None:
    program = write(world.folder / "sip", f"head -c 5 >{world.folder}/got")
    assert install(world, DATA, f'cmd = "{program}";').status == 0
    assert (world.folder / "got").read_bytes() == DATA[:5]


@pytest.mark.parametrize("text", ["cat >/dev/null; exit 4", "exit 4", "sleep 77703"])
def test_a_program_that_fails_or_hangs_fails_the_update(world: World, text: str) -> None:
    world.write_config(limits="limits.script_s = 1")
    program = write(world.folder / "bad", text)
    start = time.monotonic()
    assert install(world, DATA, f'cmd = "{program}";').code == "script-failed"
    assert time.monotonic() - start < 5
    assert subprocess.run(["pgrep", "-f", "[s]leep 77703"], capture_output=True).returncode == 1
    assert world.environment.read_text() == "boot_slot=a\nrecovery_status=failed\nustate=3\n"


def test_data_that_turns_out_to_be_damaged_ends_the_program(world: World) -> None:
    program = write(world.folder / "waits", "cat >/dev/null; sleep 77704")
    outcome = install(world, gzip.compress(DATA)[:-9], f'cmd = "{program}";', 'compressed = "zlib";')
    assert outcome.code == "payload-format"
    assert subprocess.run(["pgrep", "-f", "[s]leep 77704"], capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ('cmd = "/no/such/program";', "tool-missing"),
        ('cmd = "/etc";', "tool-missing"),
        ('cmd = "/etc/passwd";', "tool-missing"),
        ('cmd = "cat";', "description-content"),
        ('parms = "x";', "description-content"),
    ],
)
def test_what_is_no_program_is_refused_before_the_first_write(
    world: World, properties: str, code: str
) -> None:
    untouched = world.untouched()
    assert install(world, DATA, properties).code == code
    assert untouched()


def test_a_script_of_the_package_may_bring_the_program(world: World, program: Path) -> None:
    program.rename(world.folder / "elsewhere")
    script = write(world.folder / "bring", f"mv {world.folder}/elsewhere {program}")
    member = world.folder / "data"
    member.write_bytes(DATA)
    entry = (
        f'{{ filename = "data"; type = "executor"; sha256 = "{sha256(member)}"; '
        f'properties: {{ cmd = "{program}"; }}; }}'
    )
    bring = f'{{ filename = "bring"; type = "preinstall"; sha256 = "{sha256(script)}"; }}'
    text = world.description(entry).replace("images:", f"scripts: ( {bring} ); images:")
    assert world.ota("install", world.make_package(text, member, script)).status == 0
    assert bool((world.folder / "got").read_bytes() == DATA)


def test_dummy_data_is_proved_and_nothing_else(world: World) -> None:
    assert install(world, gzip.compress(DATA), "", 'compressed = "zlib";', "dummy").status == 0
    world.reset()
    untouched = world.untouched()
    broken = gzip.compress(DATA)[:-9]
    assert install(world, broken, "", 'compressed = "zlib";', "dummy").code == "payload-format"
    assert untouched()


@pytest.mark.parametrize("section", ["partitions", "scripts"])
def test_a_dummy_needs_no_data(world: World, section: str) -> None:
    entry = '{ type = "dummy"; device = "/dev/null"; }'
    text = world.description("").replace("images:", f"{section}: ( {entry} ); images:")
    assert world.ota("install", world.make_package(text)).status == 0
    assert world.environment.read_text() == "boot_slot=b\nustate=1\n"
