"""Files of boot loader variables: what they may hold, and what goes before what."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.boot.uboot import UBootEnvironment
from ota.tests.media import make_uboot
from ota.tests.vendor import FindTool
from ota.tests.world import Outcome, World, sha256

BEFORE = "boot_slot=a\nold=1\nolder=2\n"
NO_OVERRIDE = 'properties: { nooverride = "true"; };'


def install(world: World, *files: tuple[bytes, str], bootenv: str = "", common: str = "") -> Outcome:
    """Install files of variables, each with what its entry says besides."""
    world.environment.write_text(BEFORE)
    return world.ota("install", package(world, *files, bootenv=bootenv, common=common))


def package(world: World, *files: tuple[bytes, str], bootenv: str = "", common: str = "") -> Path:
    entries, members = [], []
    for number, (data, more) in enumerate(files):
        member = world.folder / f"variables{number}"
        member.write_bytes(data)
        kind = "bootloader" if number % 2 == 0 else "uboot"
        entries.append(
            f'{{ filename = "{member.name}"; type = "{kind}"; sha256 = "{sha256(member)}"; {more} }}'
        )
        members.append(member)
    text = (
        f'software = {{ version = "2.0"; hardware-compatibility: [ "1.0" ]; {common} '
        f"images: ( {', '.join(entries)} ); bootenv: ( {bootenv} ); }}"
    )
    return world.make_package(text, *members)


def variables(world: World) -> dict[str, str]:
    pairs = [line.partition("=") for line in world.environment.read_text().splitlines()]
    return {name: value for name, _, value in pairs if name not in ("boot_slot", "ustate")}


def test_they_are_set_and_unset_at_the_commit(world: World) -> None:
    data = b"# a comment\na=1\r\nold\r\nolder=\n\n  \nb=x=y\nt=a\tb\nc==z\nd=q=\nend=of file"
    assert install(world, (data, "")).status == 0
    assert variables(world) == {"a": "1", "b": "x=y", "t": "a\tb", "c": "=z", "d": "q=", "end": "of file"}


def test_a_file_goes_before_the_description_and_a_later_one_before_an_earlier_one(world: World) -> None:
    bootenv = '{ name = "n"; value = "described"; }'
    assert install(world, (b"n=1\nold=x\nq=1\n", ""), (b"q=2\nq=3\n", ""), bootenv=bootenv).status == 0
    assert variables(world) == {"n": "1", "old": "x", "older": "2", "q": "3"}


def test_with_nooverride_it_goes_behind_them_all(world: World) -> None:
    bootenv = '{ name = "n"; value = "described"; }, { name = "old"; value = ""; }'
    outcome = install(
        world, (b"q=1\n", ""), (b"n=2\nold=2\nq=2\nnew=2\nnew=3\n", NO_OVERRIDE), bootenv=bootenv
    )
    assert outcome.status == 0
    assert variables(world) == {"n": "described", "older": "2", "q": "1", "new": "2"}


def test_our_own_marks_stay_ours_unless_the_package_does_without(world: World) -> None:
    data = b"recovery_status=mine\nustate=9\n"
    assert install(world, (data, "")).status == 0
    assert world.environment.read_text() == BEFORE + "ustate=1\n"
    without = "bootloader_transaction_marker = false; bootloader_state_marker = false;"
    assert install(world, (data, ""), common=without).status == 0
    assert world.environment.read_text() == BEFORE + "recovery_status=mine\nustate=9\n"


@pytest.mark.parametrize(
    "line",
    [
        b"=value",
        b"==",
        b" indented=1",
        b"spaced = 1",
        b"a\tb=1",
        b"bell=\x07",
        b"zero=a\x00b",
        b"return=a\rb",
        b"latin=\xe9",
        b"long=" + b"x" * 1018,
        b"\x7f=1",
    ],
)
def test_a_line_that_is_none_is_refused_before_the_first_write(world: World, line: bytes) -> None:
    untouched = world.untouched()
    outcome = world.ota("install", package(world, (b"a=1\n" + line + b"\nb=2\n", "")))
    assert outcome.code == "bootenv-format"
    assert "variables0, line 2" in outcome.errors
    assert untouched()


def test_the_longest_line_and_the_longest_file_are_taken(world: World) -> None:
    line = b"long=" + b"x" * 1017
    assert install(world, (line + b"\n", "")).status == 0
    assert variables(world)["long"] == "x" * 1017
    padding = b"#" * ((64 << 10) - 4)
    assert install(world, (b"a=1\n" + padding, "")).status == 0
    untouched = world.untouched()
    assert world.ota("install", package(world, (b"a=1\n" + padding + b"#", ""))).code == "bootenv-format"
    assert untouched()


def test_uboot_gets_them_too_and_one_that_is_full_stays_as_it_was(world: World, tool: FindTool) -> None:
    config = make_uboot(world.folder, tool)
    world.write_config(boot=f'boot = {{ environment = "uboot", path = "{config}" }}')
    longest = b"long=" + b"x" * 1017 + b"\n"
    assert world.ota("install", package(world, (longest + b"a=b=c\nbootcmd\n", ""))).status == 0
    environment = UBootEnvironment(config)
    assert [environment.get(name) for name in ("long", "a", "bootcmd", "boot_slot")] == [
        "x" * 1017,
        "b=c",
        None,
        "a",
    ]
    many = b"".join(b"v%d=%s\n" % (number, b"x" * 1000) for number in range(20))
    assert world.ota("install", package(world, (many, ""))).code == "boot-environment"
    assert [environment.get(name) for name in ("v0", "a", "recovery_status")] == [None, "b=c", "failed"]
