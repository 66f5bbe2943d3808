"""Every file in boards/; and docs/boards.md, which tells how to add one: here it is done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ota import board as boards
from ota.boot.environments import ENVIRONMENTS
from ota.boot.uboot import UBootEnvironment
from ota.tests import loops
from ota.tests.vendor import FindTool
from ota.tests.world import World
from packager import bootscript, cli

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "boards").glob("*.toml"))
WITHOUT_BOOT_LOADER = {"demo"}

IMAGE_SIZE = 1 << 20  # bytes

Raw = Mapping[str, Any]  # a board file as TOML has it


def load(name: str) -> Raw:
    return tomllib.loads((ROOT / f"boards/{name}.toml").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_board_loads_under_its_own_name(name: str) -> None:
    board = boards.load(name, Path())
    assert board.name == name
    assert board.environment in ENVIRONMENTS
    first, second = board.slots
    assert first.bootenv.keys() == second.bootenv.keys() and first.bootenv != second.bootenv


@pytest.mark.parametrize("name", NAMES)
def test_the_boot_loaders_script_can_be_made(name: str) -> None:
    if name in WITHOUT_BOOT_LOADER:
        assert "loader" not in load(name)
        return
    script = bootscript.write(name, Path())
    assert script.kind == boards.load(name, Path()).environment
    for slot in boards.load(name, Path()).slots:
        assert f"root={slot.device} " in script.text


@pytest.mark.parametrize("name", NAMES)
def test_its_slots_lie_on_its_disk_where_the_boot_loader_looks_for_them(name: str) -> None:
    if name not in WITHOUT_BOOT_LOADER:
        check_disk(load(name))


def check_disk(raw: Raw) -> None:
    disk, partitions = raw["disk"], raw["disk"]["partitions"]
    sizes = set()
    for name, slot in raw["slots"].items():
        number = raw["loader"]["partitions"][name]
        assert partitions[number - 1]["name"] == f"slot-{name}"
        assert re.fullmatch(rf"/dev/(mmcblk\d+p|sd[a-z]){number}", slot["device"])
        sizes.add(partitions[number - 1]["size_mib"])
    assert len(sizes) == 1
    ends = [0, *(part["start_mib"] + part["size_mib"] for part in partitions)]
    assert all(end <= part["start_mib"] for end, part in zip(ends, partitions, strict=False))
    assert partitions[0]["start_mib"] >= 1 and ends[-1] < disk["size_mib"]


def test_the_page_lists_every_board_and_whether_it_was_seen_to_run() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", page(), re.MULTILINE)
    listed = {name: runs for name, runs in rows if name in NAMES}
    assert listed == {name: boards.load(name, Path()).runs or "not run here" for name in NAMES}


def test_the_page_explains_every_key() -> None:
    explained = page()
    for name in NAMES:
        for key in keys(load(name)):
            assert f"`{key}`" in explained, f"{name}: {key}"


def keys(raw: Raw) -> Iterator[str]:
    """As the page's table names them."""
    for key, value in raw.items():
        if key == "slots":
            yield from (f"slots.NAME.{word}" for slot in value.values() for word in slot)
        elif isinstance(value, dict) and key != "emulator":
            yield from (f"{key}.{word}" for word in value)
        else:
            yield key


def page() -> str:
    return (ROOT / "docs/boards.md").read_text()


def block(language: str) -> str:
    """What stands between the page's only fences of that language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", page(), re.DOTALL | re.MULTILINE)
    return str(text)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A device as the page makes it, on a loop device; slot a runs."""

    world: World
    disk: Path
    board: Path
    config: Path  # fw_env.config

    def slot(self, number: int) -> bytes:
        with Path(f"{self.disk}p{number}").open("rb") as file:
            return file.read(IMAGE_SIZE)


@pytest.fixture
def gateway(world: World, tmp_path: Path, tool: FindTool) -> Iterator[Gateway]:
    board, config = tmp_path / "gateway.toml", tmp_path / "fw_env.config"
    board.write_text(block("toml"))
    layout = tomllib.loads(block("toml"))["disk"]
    parts = "".join(
        f"start={part['start_mib']}MiB, size={part['size_mib']}MiB, name={part['name']}\n"
        for part in layout["partitions"]
    )
    with loops.disk(tmp_path / "disk", layout["size_mib"] << 20, f"label: gpt\n{parts}") as disk:
        config.write_text(block("text").replace("/dev/mmcblk0", str(disk)))
        world.write_config(
            board=f'board = "{board}"',
            slots=f'slots.a.device = "{disk}p1"\nslots.b.device = "{disk}p2"',
            boot=f'boot = {{ path = "{config}" }}',
        )
        tool("fw_printenv"), tool("fw_setenv"), tool("mkenvimage")
        give_script(tmp_path, disk)
        yield Gateway(world, disk, board, config)


def give_script(folder: Path, disk: Path) -> None:
    """The page's step 4, as it stands there."""
    (folder / "board.env").write_text("kernel_addr_r=0x42000000\nfdt_addr_r=0x48000000\n")
    commands = (
        block("sh").replace("otapack", f"{sys.executable} -m packager.cli").replace("/dev/mmcblk0", str(disk))
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-e", "-c", commands], cwd=folder, env=environment, check=True, capture_output=True)


def test_the_pages_board_has_its_slots_on_its_disk() -> None:
    check_disk(tomllib.loads(block("toml")))


def test_the_device_reads_the_environment_that_the_page_makes(gateway: Gateway) -> None:
    variables = UBootEnvironment(gateway.config).read()
    assert variables["bootcmd"] == "run otakit_boot" and variables["kernel_addr_r"] == "0x42000000"
    status = gateway.world.ota("status")
    assert status.status == 0, status
    assert status.answer["slots"]


def test_a_package_for_the_pages_board_installs(gateway: Gateway) -> None:
    image = os.urandom(IMAGE_SIZE)
    folder = gateway.board.parent
    (folder / "rootfs.img").write_bytes(image)
    (folder / "release.toml").write_text(release(gateway))
    assert cli.main(["build", str(folder / "release.toml"), "-o", str(folder / "out")]) == 0
    before = gateway.slot(1)
    outcome = gateway.world.ota("install", folder / "out/gateway-2.0.0.swu")
    assert outcome.status == 0, outcome
    assert bool(gateway.slot(2) == image) and bool(gateway.slot(1) == before)
    variables = UBootEnvironment(gateway.config).read()
    assert [variables[name] for name in ("boot_slot", "ustate", "boot_tries")] == ["b", "1", "0"]


def release(gateway: Gateway) -> str:
    return (
        'version = "2.0.0"\nboard = "gateway.toml"\n'
        f'[sign]\ncertificate = "{gateway.world.certificate}"\nkey = "{gateway.world.key}"\n'
        '[[image]]\nname = "rootfs"\nfile = "rootfs.img"\ntype = "raw"\n'
    )
