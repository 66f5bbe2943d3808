"""Boot environments: one set of rules for a file and for U-Boot's own two copies on a medium."""

from __future__ import annotations

from pathlib import Path

import pytest

from ota.boot.file import MAX_FILE, FileEnvironment
from ota.boot.state import marked
from ota.boot.uboot import UBootEnvironment
from ota.errors import ConfigError, DeviceError
from ota.interfaces import Bootloader
from ota.tests.media import COPY_SIZE, make_uboot
from ota.tests.vendor import FindTool
from ota.tests.world import World


@pytest.fixture(params=["file", "uboot"])
def environment(request: pytest.FixtureRequest, tmp_path: Path, tool: FindTool) -> Bootloader:
    if request.param == "uboot":
        return UBootEnvironment(make_uboot(tmp_path, tool))
    (tmp_path / "bootenv").write_text("boot_slot=a\nbootcmd=run old\n")
    return FileEnvironment(tmp_path / "bootenv")


def test_variables_are_read(environment: Bootloader) -> None:
    assert environment.get("boot_slot") == "a"
    assert environment.get("nothing") is None


def test_variables_are_set_changed_and_removed_at_once(environment: Bootloader) -> None:
    environment.apply({"boot_slot": "b", "ustate": "1", "bootcmd": None})
    assert [environment.get(name) for name in ("boot_slot", "ustate", "bootcmd")] == ["b", "1", None]


def test_what_is_removed_may_be_absent(environment: Bootloader) -> None:
    environment.apply({"recovery_status": None})
    assert environment.get("recovery_status") is None
    assert environment.get("boot_slot") == "a"


@pytest.mark.parametrize(
    "value",
    ["with spaces and = signs", "run a; run b", "0x10", "'quoted'", "a\u2028b", "a\x85b", "a\rb", "\udcff"],
)
def test_values_of_any_kind_are_kept(environment: Bootloader, value: str) -> None:
    environment.apply({"altbootcmd": value})
    assert environment.get("altbootcmd") == value


def test_uboots_copies_take_turns_so_that_one_is_always_whole(tmp_path: Path, tool: FindTool) -> None:
    environment = UBootEnvironment(make_uboot(tmp_path, tool))
    written = []
    for value in "bab":
        before = (tmp_path / "medium").read_bytes()
        environment.apply({"boot_slot": value})
        after = (tmp_path / "medium").read_bytes()
        written.append([before[:COPY_SIZE] != after[:COPY_SIZE], before[COPY_SIZE:] != after[COPY_SIZE:]])
    assert sorted(written[0]) == [False, True]
    assert written[1] == written[0][::-1]
    assert written[2] == written[0]


def test_a_damaged_copy_of_uboots_is_survived(tmp_path: Path, tool: FindTool) -> None:
    environment = UBootEnvironment(make_uboot(tmp_path, tool))
    environment.apply({"boot_slot": "b"})
    medium = bytearray((tmp_path / "medium").read_bytes())
    current = 0 if b"boot_slot=b" in medium[:COPY_SIZE] else COPY_SIZE
    medium[current + 100] ^= 1
    (tmp_path / "medium").write_bytes(medium)
    assert environment.get("boot_slot") == "a"


def test_an_environment_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bootenv").write_text("no variables here\n")
    with pytest.raises(DeviceError) as caught:
        FileEnvironment(tmp_path / "bootenv").get("x")
    assert caught.value.code == "boot-environment"


def test_a_configuration_that_leads_nowhere_is_an_error(tmp_path: Path, tool: FindTool) -> None:
    tool("fw_printenv")
    (tmp_path / "fw_env.config").write_text(f"{tmp_path}/none 0x0 0x4000\n")
    with pytest.raises(DeviceError) as caught:
        UBootEnvironment(tmp_path / "fw_env.config").apply({"boot_slot": "b"})
    assert caught.value.code == "boot-environment"


def test_a_file_never_grows_longer_than_it_can_be_read(tmp_path: Path) -> None:
    environment = FileEnvironment(tmp_path / "bootenv")
    environment.apply({"boot_slot": "a"})
    with pytest.raises(DeviceError) as caught:
        environment.apply({"boot_slot": "b", "much": "x" * MAX_FILE})
    assert caught.value.code == "boot-environment"
    assert environment.get("boot_slot") == "a"


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        UBootEnvironment(tmp_path / "fw_env.config").get("boot_slot")
    assert caught.value.code == "tool-missing"


def test_markers_are_set_only_where_wanted() -> None:
    said = {"recovery_status": "in_progress", "ustate": "7", "boot_slot": "a"}
    assert marked(said, transaction_marker=True, state_marker=True) == said
    assert marked(said, transaction_marker=False, state_marker=True) == {"ustate": "7", "boot_slot": "a"}
    assert marked(said, transaction_marker=True, state_marker=False) == {
        "recovery_status": "in_progress",
        "boot_slot": "a",
    }


def test_an_update_switches_uboot(world: World, tool: FindTool) -> None:
    config = make_uboot(world.folder, tool)
    world.write_config(boot=f'boot = {{ environment = "uboot", path = "{config}" }}')
    image = world.folder / "small.img"
    image.write_bytes(b"a new system" * 1000)
    entry = world.raw_entry(image)
    outcome = world.ota("install", world.make_package(world.description(entry), image))
    assert outcome.status == 0, outcome
    environment = UBootEnvironment(config)
    names = ("boot_slot", "ustate", "recovery_status", "bootcmd")
    assert [environment.get(name) for name in names] == ["b", "1", None, "run old"]
    boot = world.ota("status").answer["boot"]
    assert isinstance(boot, dict)
    assert [boot[name] for name in ("recovery_status", "ustate", "slot")] == [None, "1", "b"]
