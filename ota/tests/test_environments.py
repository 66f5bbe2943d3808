"""Boot environments: one set of rules for a file, U-Boot's two copies on a medium, and GRUB's block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ota.boot.environments import ENVIRONMENTS, open_environment
from ota.boot.file import MAX_FILE, FileEnvironment
from ota.boot.grub import SECTOR
from ota.boot.state import marked
from ota.boot.uboot import UBootEnvironment
from ota.errors import ConfigError, DeviceError
from ota.interfaces import Bootloader
from ota.io import durable
from ota.tests.media import COPY_SIZE, make_grub, make_uboot
from ota.tests.vendor import FindTool
from ota.tests.world import World

STEP = {"boot_slot": "b", "ustate": "1", "bootcmd": None}  # all changes of one step


@dataclass(frozen=True, slots=True)
class Place:
    """Where variables are kept: boot_slot=a, bootcmd=run old."""

    kind: str
    path: Path  # as the configuration has it
    medium: Path  # the file that holds them

    @property
    def environment(self) -> Bootloader:
        return open_environment(self.kind, self.path)


def make_place(kind: str, folder: Path, tool: FindTool) -> Place:
    if kind == "uboot":
        return Place(kind, make_uboot(folder, tool), folder / "medium")
    if kind == "grub":
        return Place(kind, make_grub(folder, tool), folder / "grubenv")
    (folder / "bootenv").write_text("boot_slot=a\nbootcmd=run old\n")
    return Place(kind, folder / "bootenv", folder / "bootenv")


@pytest.fixture(params=ENVIRONMENTS)
def place(request: pytest.FixtureRequest, tmp_path: Path, tool: FindTool) -> Place:
    return make_place(request.param, tmp_path, tool)


@pytest.fixture
def environment(place: Place) -> Bootloader:
    return place.environment


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(DeviceError) as caught:
        act()
    assert caught.value.code == "boot-environment"
    return str(caught.value)


def test_variables_are_read(environment: Bootloader) -> None:
    assert environment.get("boot_slot") == "a"
    assert environment.get("nothing") is None
    assert dict(environment.read()) == {"boot_slot": "a", "bootcmd": "run old"}


def test_variables_are_set_changed_and_removed_at_once(environment: Bootloader) -> None:
    environment.apply(STEP)
    assert dict(environment.read()) == {"boot_slot": "b", "ustate": "1"}


@pytest.mark.parametrize("nothing", [None, ""])
def test_what_is_removed_may_be_absent(environment: Bootloader, nothing: str | None) -> None:
    environment.apply({"recovery_status": nothing, "bootcmd": nothing})
    assert dict(environment.read()) == {"boot_slot": "a"}


@pytest.mark.parametrize(
    "value",
    [
        "with spaces and = signs", "run a; run b", "0x10", "'quoted'", "a\u2028b", "a\x85b", "a\rb", "\udcff",
        "back\\slash", "a\\nb", "\\\\", "#", "###", "a\tb",
    ],
)  # fmt: skip
def test_values_of_any_kind_are_kept(environment: Bootloader, value: str) -> None:
    environment.apply({"altbootcmd": value, "last": "1"})
    assert environment.get("altbootcmd") == value
    assert environment.get("last") == "1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("a=b", "x"),
        ("#a", "x"),
        ("a\nb", "x"),
        ("a\0b", "x"),
        ("a", "x\0y"),
        ("a", "x\nboot_slot=c"),
    ],
)
def test_what_it_cannot_hold_is_refused_with_nothing_changed(place: Place, name: str, value: str) -> None:
    before = place.medium.read_bytes()
    if place.kind == "grub" and "\0" not in value and name == "a":
        place.environment.apply({name: value})  # GRUB's values have as many lines as they like
        assert place.environment.get(name) == value
    else:
        refusal(lambda: place.environment.apply({"boot_slot": "b", name: value}))
        assert bool(place.medium.read_bytes() == before)
    assert place.environment.get("boot_slot") == "a"


def test_a_write_that_is_lost_is_noticed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []

    def pwrite(_file: int, data: bytes, _offset: int) -> int:
        lost.append("grub")
        return len(data)

    monkeypatch.setattr(durable, "replace", lambda *_: lost.append("file"))
    monkeypatch.setattr(os, "pwrite", pwrite)
    if place.kind == "uboot":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/fw_setenv").write_text(f"#!/bin/sh\ncat >{tmp_path}/lost\n")
        (tmp_path / "bin/fw_setenv").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert "did not take" in refusal(lambda: place.environment.apply(STEP))
    assert lost == [place.kind] or (tmp_path / "lost").exists()
    assert place.environment.get("boot_slot") == "a"


# How each is damaged. Of two copies, one is survived: below.
DAMAGES: dict[str, list[Callable[[bytes], bytes]]] = {
    "file": [lambda _: b"no variables here\n", lambda data: data + b"x" * MAX_FILE],
    "uboot": [
        lambda data: bytes(len(data)),
        lambda data: data[:10],
        lambda data: b"".join(
            data[n : n + 99] + b"X" + data[n + 100 : n + COPY_SIZE] for n in (0, COPY_SIZE)
        ),
    ],
    "grub": [
        lambda data: data[:-1],
        lambda data: data + b"#",
        lambda data: bytes(len(data)),
        lambda data: b"#" * len(data),
        lambda data: data.rstrip(b"#").ljust(len(data), b"\0"),
        lambda data: data.rstrip(b"#").ljust(len(data), b"\n"),
        lambda data: data.replace(b"boot_slot=a", b"boot_slot:a"),
        lambda data: data.replace(b"boot_slot=a", b"=boot_slota"),
        lambda data: data.replace(b"run old\n", b"run old#"),
        lambda data: data.replace(b"run old\n", b"run ol\\\n"),
        lambda data: data.replace(b"run old", b"run\0old"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "damage"), [(kind, damage) for kind, damages in DAMAGES.items() for damage in damages]
)
def test_a_damaged_environment_is_an_error_and_never_an_empty_one(
    kind: str, damage: Callable[[bytes], bytes], tmp_path: Path, tool: FindTool
) -> None:
    place = make_place(kind, tmp_path, tool)
    damaged = damage(place.medium.read_bytes())
    assert bool(damaged != place.medium.read_bytes())
    place.medium.write_bytes(damaged)
    refusal(lambda: place.environment.get("boot_slot"))
    refusal(place.environment.read)
    refusal(lambda: place.environment.apply(STEP))
    assert bool(place.medium.read_bytes() == damaged)


def test_one_that_leads_nowhere_is_an_error(place: Place) -> None:
    place.medium.unlink()
    place.medium.mkdir()
    refusal(place.environment.read)
    refusal(lambda: place.environment.apply(STEP))


def test_only_a_file_may_be_absent(place: Place) -> None:
    place.medium.unlink()
    if place.kind == "file":
        assert place.environment.read() == {}
        place.environment.apply(STEP)
        assert dict(place.environment.read()) == {"boot_slot": "b", "ustate": "1"}
    else:
        refusal(place.environment.read)
        refusal(lambda: place.environment.apply(STEP))
        assert not place.medium.exists()


@pytest.mark.parametrize("kind", ["uboot", "grub"])
def test_a_cut_at_any_sector_leaves_the_old_variables_or_the_new(
    kind: str, tmp_path: Path, tool: FindTool
) -> None:
    place = make_place(kind, tmp_path, tool)
    place.environment.apply({"boot_slot": "a"})
    before, old = place.medium.read_bytes(), dict(place.environment.read())
    place.environment.apply(STEP)
    after, new = place.medium.read_bytes(), dict(place.environment.read())
    changed = sectors_that_differ(before, after)
    assert len(before) == len(after) and old != new
    cuts = 0
    for written in subsets(changed):
        place.medium.write_bytes(mixed(before, after, written))
        found = dict(place.environment.read())
        assert found == (new if written == changed else old), f"{len(written)} of {len(changed)} sectors"
        place.environment.apply({"boot_slot": "c"})  # and what was torn is mended
        assert dict(place.environment.read()) == {**found, "boot_slot": "c"}
        cuts += 1
    assert cuts > len(changed)


def test_a_cut_in_a_file_leaves_the_old_variables_or_the_new(
    tmp_path: Path, tool: FindTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutError(BaseException):
        """The power goes: nothing of ours runs any more."""

    found = []
    for cut_at in range(10):
        place = make_place("file", tmp_path, tool)
        syncs = iter(range(10))

        def cut(_: int, syncs: Iterator[int] = syncs, cut_at: int = cut_at) -> None:
            if next(syncs) == cut_at:
                raise CutError

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", cut)
            try:
                place.environment.apply(STEP)
            except CutError:
                found.append(dict(place.environment.read()))
            else:
                break
    assert found == [{"boot_slot": "a", "bootcmd": "run old"}, {"boot_slot": "b", "ustate": "1"}]


def test_one_step_is_one_store_of_uboots_and_the_copies_take_turns(tmp_path: Path, tool: FindTool) -> None:
    place = make_place("uboot", tmp_path, tool)
    written = []
    for step in ({"boot_slot": "b", "ustate": "1"}, {"boot_slot": "a", "bootcmd": None}, STEP):
        before = place.medium.read_bytes()
        place.environment.apply(step)
        after = place.medium.read_bytes()
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


def test_a_configuration_that_leads_nowhere_is_an_error(tmp_path: Path, tool: FindTool) -> None:
    tool("fw_printenv")
    (tmp_path / "fw_env.config").write_text(f"{tmp_path}/none 0x0 0x4000\n")
    refusal(lambda: UBootEnvironment(tmp_path / "fw_env.config").apply({"boot_slot": "b"}))


def test_a_file_never_grows_longer_than_it_can_be_read(tmp_path: Path) -> None:
    environment = FileEnvironment(tmp_path / "bootenv")
    environment.apply({"boot_slot": "a"})
    refusal(lambda: environment.apply({"boot_slot": "b", "much": "x" * MAX_FILE}))
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


@pytest.mark.parametrize("kind", ["uboot", "grub"])
def test_an_update_switches_the_boot_loader(kind: str, world: World, tool: FindTool) -> None:
    place = make_place(kind, world.folder, tool)
    world.write_config(boot=f'boot = {{ environment = "{kind}", path = "{place.path}" }}')
    image = world.folder / "small.img"
    image.write_bytes(b"a new system" * 1000)
    entry = world.raw_entry(image)
    outcome = world.ota("install", world.make_package(world.description(entry), image))
    assert outcome.status == 0, outcome
    names = ("boot_slot", "ustate", "recovery_status", "bootcmd")
    assert [place.environment.get(name) for name in names] == ["b", "1", None, "run old"]
    boot = world.ota("status").answer["boot"]
    assert isinstance(boot, dict)
    assert [boot[name] for name in ("recovery_status", "ustate", "slot")] == [None, "1", "b"]


def test_grubs_has_no_namespaces_for_vars(world: World) -> None:
    world.write_config(vars='vars = { environment = "grub", namespace = "app" }')
    outcome = world.ota("status")
    assert outcome.code == "config-value"
    assert "vars.environment (expected one of file, uboot, found grub)" in outcome.errors


def subsets(sectors: list[int]) -> Iterator[list[int]]:
    """What a cut may have let through: front to back, back to front, or any one of them."""
    yield from (sectors[:count] for count in range(len(sectors) + 1))
    yield from (sectors[count:] for count in range(1, len(sectors)))
    yield from ([sector] for sector in sectors[1:-1])


def sectors_that_differ(before: bytes, after: bytes) -> list[int]:
    starts = range(0, len(before), SECTOR)
    return [n for n in starts if before[n : n + SECTOR] != after[n : n + SECTOR]]


def mixed(before: bytes, after: bytes, written: list[int]) -> bytes:
    return b"".join(
        (after if n in written else before)[n : n + SECTOR] for n in range(0, len(before), SECTOR)
    )
