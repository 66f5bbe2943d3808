"""The order of versions, and the rules that hang on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.formats.versions import compare, read_installed, render_installed
from ota.tests.world import World, sha256

LOWER_THAN = [
    ("1.9", "1.10"),
    ("1.0", "1.0.0.1"),
    ("0.9.65535", "1"),
    ("", "0.0.1"),
    ("1.65536", "1.65537"),  # beyond 16 bits: semantic
    ("1.0.0-rc1", "1.0.0"),
    ("1.0.0-rc.2", "1.0.0-rc.10"),
    ("1.0.0-2", "1.0.0-a"),  # numbers before words
    ("1.0.0-a", "1.0.0-a.1"),
    ("1.0-a", "1.1"),
    ("abc", "abd"),
    ("v1.10", "v1.9"),  # byte by byte
    ("1_0", "2"),
]
EQUAL = [("1", "1.0.0.0"), ("1.2.3.4.5", "1.2.3.4.6"), ("1.0.0+a", "1.0.0+b"), ("1.2.70000.1", "1.2.70000.2")]


@pytest.mark.parametrize(("lower", "higher"), LOWER_THAN)
def test_one_version_is_lower_than_the_other(lower: str, higher: str) -> None:
    assert compare(lower, higher) < 0 < compare(higher, lower)


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_two_versions_are_the_same(left: str, right: str) -> None:
    assert compare(left, right) == 0 == compare(right, left)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_two_texts_have_an_order(left: str, right: str) -> None:
    assert compare(left, right) == -compare(right, left)
    assert compare(left, left) == 0


def test_a_file_of_versions_is_read_and_written(tmp_path: Path) -> None:
    file = tmp_path / "sw-versions"
    assert read_installed(file) == {}
    file.write_bytes(render_installed({"kernel": "6.1", "app": "2.0"}))
    assert read_installed(file) == {"kernel": "6.1", "app": "2.0"}
    file.write_text("kernel   6.2\n\n app\t3.0 left-over")
    assert read_installed(file) == {"kernel": "6.2", "app": "3.0"}


@pytest.fixture
def package(world: World) -> Path:
    """Version 2.0 of the software; its image is `rootfs` 1.5, installed only if that is higher."""
    image = world.folder / "system.img"
    image.write_bytes(b"image" * 1000)
    entry = (
        f'{{ filename = "system.img"; name = "rootfs"; version = "1.5"; install-if-higher = true; '
        f'type = "raw"; device = "/dev/mmcblk0p3"; sha256 = "{sha256(image)}"; }}'
    )
    return world.make_package(world.description(entry), image)


RULES = [
    ("--no-downgrading", "2.0", None),
    ("--no-downgrading", "2.0.1", "version-refused"),
    ("--no-reinstalling", "2.0.0", None),  # another text
    ("--no-reinstalling", "2.0", "version-refused"),
    ("--max-version", "2.0", None),
    ("--max-version", "1.9", "version-refused"),
]


@pytest.mark.parametrize(("option", "version", "code"), RULES)
def test_a_rule_lets_a_version_pass_or_not(
    world: World, package: Path, option: str, version: str, code: str | None
) -> None:
    untouched = world.untouched()
    assert world.ota("install", package, option, version).code == code
    assert untouched() == (code is not None)


def test_a_rule_may_stand_in_the_configuration_and_the_command_line_has_the_last_word(
    world: World, package: Path
) -> None:
    world.write_config(versions='versions.no_downgrading = "3.0"')
    assert world.ota("install", package, "--dry-run").code == "version-refused"
    assert world.ota("install", package, "--dry-run", "--no-downgrading", "1.0").status == 0


@pytest.mark.parametrize(
    ("installed", "written"), [("1.4", True), ("1.5", False), ("1.10", False), ("", True)], ids=repr
)
def test_an_image_that_is_there_is_not_installed_again(
    world: World, package: Path, installed: str, written: bool
) -> None:
    record = world.folder / "recorded"
    (world.folder / "sw-versions").write_text(f"kernel 6.1\nrootfs {installed}\n")
    world.write_config(versions='versions = { installed = "sw-versions", record = "recorded" }')
    outcome = world.ota("install", package)
    assert outcome.status == 0, outcome.errors
    assert (outcome.answer["written_bytes"] != 0) == written
    assert "boot_slot=b" in world.environment.read_text()
    assert read_installed(record) == {"kernel": "6.1", "rootfs": "1.5" if written else installed}


def test_a_type_of_update_has_rules_of_its_own(world: World, package: Path) -> None:
    typed = world.folder / "typed.swu"
    image = world.folder / "system.img"
    text = world.description(world.raw_entry(image)).replace("version =", 'update-type = "app"; version =', 1)
    typed.write_bytes(world.make_package(text, image).read_bytes())
    assert world.ota("install", typed, "--dry-run").code == "update-type"
    world.write_config(versions='versions.types.app.max_version = "1.0"')
    assert world.ota("install", typed, "--dry-run").code == "version-refused"
    world.write_config(versions='versions.types.app.max_version = "2.0"')
    assert world.ota("install", typed, "--dry-run").status == 0


def test_a_type_may_be_required(world: World, package: Path) -> None:
    world.write_config(versions="versions.type_required = true")
    assert world.ota("install", package, "--dry-run").code == "update-type"
