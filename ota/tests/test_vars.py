"""`vars` of a package: kept in a file or in a namespace of libubootenv, just before the switch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.boot.file import FileEnvironment
from ota.boot.uboot import UBootEnvironment
from ota.tests.media import make_programs, make_uboot
from ota.tests.vendor import FindTool
from ota.tests.world import World

ALL = '{ name = "count"; value = "3"; }, { name = "old"; value = ""; }, { name = "text"; value = "a = b"; }'
KEPT = "count=3\nother=1\ntext=a = b\n"


def package(world: World, variables: str = ALL, common: str = "") -> Path:
    head = 'version = "2.0"; hardware-compatibility: [ "1.0" ];'
    return world.make_package(f"software = {{ {head} {common} vars: ( {variables} ); }}")


def test_they_are_kept_in_a_file_by_default(world: World) -> None:
    kept = world.folder / "state/vars"
    kept.write_text("old=x\nother=1\n")
    assert world.ota("install", package(world)).status == 0
    assert kept.read_text() == KEPT
    assert world.environment.read_text() == "boot_slot=a\nustate=1\n"


@pytest.mark.parametrize("arguments", [("install", "--dry-run"), ("plan",)], ids=["dry-run", "plan"])
def test_a_dry_run_keeps_none(world: World, arguments: tuple[str, ...]) -> None:
    assert world.ota(*arguments, package(world)).status == 0
    assert not (world.folder / "state/vars").exists()


def test_a_namespace_has_a_file_of_its_own(world: World) -> None:
    world.write_config(vars='vars = { path = "kept", namespace = "app" }')
    assert world.ota("install", package(world)).status == 0
    assert FileEnvironment(world.folder / "kept.app").get("count") == "3"
    common = 'namespace-for-vars = "other";'
    assert world.ota("install", package(world, '{ name = "count"; value = "4"; }', common)).status == 0
    assert FileEnvironment(world.folder / "kept.other").get("count") == "4"
    assert FileEnvironment(world.folder / "kept.app").get("count") == "3"


@pytest.mark.parametrize("namespace", ["../escape", ".", "a/b", "a b", "-m", "x" * 65])
def test_a_namespace_that_is_no_name_is_refused_before_the_first_write(world: World, namespace: str) -> None:
    untouched = world.untouched()
    common = f'namespace-for-vars = "{namespace}";'
    assert world.ota("install", package(world, common=common)).code == "description-content"
    world.write_config(vars=f'vars.namespace = "{namespace}"')
    assert world.ota("install", package(world)).code == "config-value"
    assert untouched()


def test_vars_that_cannot_be_kept_fail_the_update_before_the_switch(world: World) -> None:
    common = 'bootenv: ( { name = "boot_slot"; value = "b"; } );'
    (world.folder / "state/vars").write_text("x=1\n" * 300_000)
    untouched = world.untouched()
    assert world.ota("install", package(world, common=common)).code == "boot-environment"
    assert untouched()
    (world.folder / "state/vars").write_text(f"x={'1' * ((1 << 20) - 10)}\n")
    assert world.ota("install", package(world, common=common)).code == "boot-environment"
    assert world.environment.read_text() == "boot_slot=a\nrecovery_status=failed\nustate=3\n"


def make_namespaces(folder: Path, tool: FindTool) -> Path:
    """U-Boot's environment, and one that was never written; returns the configuration in YAML."""
    make_uboot(folder, tool)
    (folder / "app").write_bytes(b"\xff" * 0x2000)
    text = ""
    for name, size, medium in (("uboot", 0x4000, "medium"), ("app", 0x1000, "app")):
        text += f"{name}:\n  size: {size:#x}\n  lockfile: {folder}/lock\n  devices:\n"
        for number in (0, 1):
            text += f"    - path: {folder}/{medium}\n      offset: {number * size:#x}\n"
    config = folder / "fw_env.yaml"
    config.write_text(text)
    return config


@pytest.fixture
def namespaces(world: World, tool: FindTool, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration, and programs that know namespaces."""
    programs = make_programs(world.folder / "programs", tool)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    config = make_namespaces(world.folder, tool)
    place = f'environment = "uboot", path = "{config}"'
    world.write_config(boot=f"boot = {{ {place} }}", vars=f'vars = {{ {place}, namespace = "app" }}')
    return config


def test_they_are_kept_in_a_namespace_of_libubootenv(world: World, namespaces: Path) -> None:
    assert world.ota("install", package(world)).status == 0
    app, boot = UBootEnvironment(namespaces, "app"), UBootEnvironment(namespaces)
    assert [app.get(name) for name in ("count", "text", "old", "ustate")] == ["3", "a = b", None, None]
    assert [boot.get(name) for name in ("count", "ustate", "bootcmd")] == [None, "1", "run old"]
    assert world.ota("install", package(world, '{ name = "count"; value = ""; }')).status == 0
    assert [app.get(name) for name in ("count", "text")] == [None, "a = b"]


def test_a_namespace_that_is_not_there_is_refused_before_the_first_write(
    world: World, namespaces: Path
) -> None:
    before = (world.folder / "medium").read_bytes()
    common = 'namespace-for-vars = "nowhere";'
    assert world.ota("install", package(world, common=common)).code == "boot-environment"
    text = (world.folder / "device.toml").read_text().replace(', namespace = "app"', "")
    (world.folder / "device.toml").write_text(text)
    assert world.ota("install", package(world)).code == "config-key"
    assert (world.folder / "medium").read_bytes() == before


def test_programs_that_would_ignore_the_namespace_are_refused(world: World, tool: FindTool) -> None:
    config = make_uboot(world.folder, tool)  # 0.3.2, which writes into the boot loader's own instead
    world.write_config(vars=f'vars = {{ environment = "uboot", path = "{config}", namespace = "app" }}')
    before = (world.folder / "medium").read_bytes()
    outcome = world.ota("install", package(world))
    assert (outcome.code, "0.3.4" in outcome.errors) == ("tool-missing", True)
    assert (world.folder / "medium").read_bytes() == before
