"""What the image type's task runs, outside of bitbake: from the variables of its class, on real images."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from metadata import LAYER, ROOT, Metadata
from otakit import release

from ota.tests.world import World
from packager import cli

CLASS = "classes-recipe/image_types_otakit.bbclass"
OTAPACK = f'#!/bin/sh\nexec {sys.executable} -m packager.cli "$@"\n'


def variables(folder: Path, world: World, **more: str) -> Metadata:
    """What bitbake and a user's local.conf say, and the class's defaults."""
    return Metadata(
        CLASS,
        **{
            "WORKDIR": str(folder / "work"),
            "IMGDEPLOYDIR": str(folder / "deploy"),
            "IMAGE_LINK_NAME": "image-qemuarm64.rootfs",
            "IMAGE_NAME": "image-qemuarm64.rootfs-20260101000000",
            "DISTRO_VERSION": "2.0+snapshot",
            "SOURCE_DATE_EPOCH": "1302044400",
            "OTAKIT_BOARD": str(ROOT / "boards/demo.toml"),
            "OTAKIT_CERTIFICATE": str(world.certificate),
            "OTAKIT_KEY": str(world.key),
            "OTAKIT_URL": f"{world.server.url}/",
            **more,
        },
    )


def run_task(given: Metadata, image: Path, more: str = "") -> Path:
    """As do_image_otakit: its prefunc writes the release file, then the shell runs IMAGE_CMD."""
    deploy, work = Path(given["IMGDEPLOYDIR"]), Path(given["OTAKIT_WORKDIR"])
    for folder in (deploy, work):
        folder.mkdir(parents=True)
    shutil.copy(image, given["OTAKIT_IMAGE_FILE"])
    (work / "release.toml").write_text(release.render(given.getVar, more))
    (work / "otapack").write_text(OTAPACK)
    (work / "otapack").chmod(0o755)
    path = os.pathsep.join([str(work), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-ec", given["IMAGE_CMD:otakit"]], env=environment, check=True, capture_output=True)
    return deploy / f"{given['IMAGE_NAME']}.otakit"


@pytest.mark.tool("mke2fs", "nginx")
def test_the_package_of_an_image_is_good_and_a_device_installs_it(world: World, tmp_path: Path) -> None:
    made = run_task(variables(tmp_path, world), world.v2)
    package = made / "demo-2.0-snapshot.swu"
    words = ["verify", str(package), "--certificate", str(world.certificate)]
    assert cli.main([*words, "--publish", str(made / "publish"), "--quiet"]) == 0
    shutil.copytree(made / "publish", world.publish, dirs_exist_ok=True)
    assert world.ota("install", package).status == 0
    assert world.holds(world.slot_b, world.v2)


def test_tables_of_ones_own_follow_those_of_the_class(world: World, tmp_path: Path) -> None:
    (tmp_path / "check.sh").write_text("#!/bin/sh\n")
    script = f'[[script]]\nname = "check"\ntype = "postinstall"\nfile = "{tmp_path}/check.sh"\n'
    more = f'[bootenv]\nbootdelay = "0"\n{script}'
    made = run_task(variables(tmp_path, world, OTAKIT_NAME="gateway", OTAKIT_VERSION="7"), world.v1, more)
    description = (made / "gateway-7.swu").read_bytes()[:4096]
    assert bool(b"bootdelay" in description and b"check.sh" in description)


def test_what_is_not_set_is_named(world: World, tmp_path: Path) -> None:
    bare = variables(tmp_path, world, OTAKIT_KEY="", OTAKIT_URL="")
    assert release.missing(bare.getVar) == ["OTAKIT_KEY", "OTAKIT_URL"]
    raw = variables(tmp_path, world, OTAKIT_TYPE="raw", OTAKIT_URL="")
    assert release.missing(raw.getVar) == []


def test_the_task_runs_again_when_a_named_file_changes(world: World, tmp_path: Path) -> None:
    given = variables(tmp_path, world)
    files = (ROOT / "boards/demo.toml", world.certificate, world.key)
    assert release.checksums(given.getVar).split() == [f"{file}:True" for file in files]


@pytest.mark.tool("mke2fs")
def test_the_releases_of_a_catalogue_become_bases(world: World, tmp_path: Path) -> None:
    first = run_task(variables(tmp_path / "1", world, OTAKIT_VERSION="1"), world.v1)
    given = {"OTAKIT_VERSION": "2", "OTAKIT_BASES": str(first / "record"), "OTAKIT_METHODS": "zchunk full"}
    second = run_task(variables(tmp_path / "2", world, **given), world.v2)
    rows = json.loads((second / "report.json").read_text())["estimate"]["rows"]
    assert {(row["base"], row["method"]) for row in rows} >= {("1", "zchunk"), (None, "full")}


def make_ext4(folder: Path, name: str, options: str) -> bytes:
    """An image of a copy of folder/tree, as oe_mkext234fs makes it."""
    tree, image = folder / name, folder / f"{name}.ext4"
    shutil.copytree(folder / "tree", tree)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1302044400", "E2FSPROGS_FAKE_TIME": "1302044400"}
    words = ["mke2fs", "-q", "-t", "ext4", "-i", "4096", *options.split(), "-d", str(tree), str(image), "8M"]
    subprocess.run(words, env=environment, check=True, capture_output=True)
    return image.read_bytes()


@pytest.mark.tool("mke2fs")
def test_an_ext4_that_is_made_again_is_the_same(world: World, tmp_path: Path) -> None:
    (tmp_path / "tree/etc").mkdir(parents=True)
    for number in range(50):
        (tmp_path / f"tree/etc/{number}").write_text(str(number) * 100)
    options = variables(tmp_path, world)["OTAKIT_EXT4"]
    assert bool(make_ext4(tmp_path, "one", options) == make_ext4(tmp_path, "two", options))
    assert bool(make_ext4(tmp_path, "three", "") != make_ext4(tmp_path, "four", ""))


def test_another_image_has_another_uuid(world: World, tmp_path: Path) -> None:
    one, other = variables(tmp_path, world), variables(tmp_path, world, IMAGE_LINK_NAME="other")
    assert one["OTAKIT_UUID"] != other["OTAKIT_UUID"]


def test_every_bitbake_can_parse_the_library() -> None:
    called = [value for value in vars(release).values() if callable(value)]
    assert called and all(inspect.isfunction(value) for value in called)


def test_the_class_says_what_it_takes_in_the_documentation() -> None:
    table = (ROOT / "docs/yocto.md").read_text()
    for name in release.VARIABLES:
        assert f"`{name}`" in table, name
    assert (LAYER / CLASS).exists()
