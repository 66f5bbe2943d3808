"""`ota install FOLDER`: of many packages the one that is for this device, or a reason."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ota import folder
from ota.tests.vendor import Vendor
from ota.tests.world import SLOT_SIZE, World


@pytest.fixture
def stick(world: World) -> Path:
    path = world.folder / "stick"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def put(
    world: World,
    path: Path,
    version: str = "2.0",
    *,
    payload: bytes = b"",
    revision: str = "1.0",
    mode: str = "copy-b",
) -> None:
    """A package whose payload is, or else says, its version."""
    image = world.folder / "system.img"
    image.write_bytes(payload or version.encode() * 1000)
    text = world.description(world.raw_entry(image), mode=mode)
    text = text.replace('version = "2.0"', f'version = "{version}"').replace('"1.0" ]', f'"{revision}" ]')
    shutil.move(world.make_package(text, image), path)


def installed(world: World, version: str) -> bool:
    payload = version.encode() * 1000
    return world.slot_b.read_bytes() == payload + b"\xff" * (SLOT_SIZE - len(payload))


def test_the_highest_version_is_installed(
    world: World, stick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, version in (("a.swu", "1.9.0"), ("b.swu", "1.10.0"), ("c.swu", "1.2.0")):
        put(world, stick / name, version)
    with caplog.at_level("INFO"):
        outcome = world.ota("install", stick)
    assert outcome.answer["version"] == "1.10.0"
    assert installed(world, "1.10.0")
    assert "b.swu is chosen: version 1.10.0" in caplog.messages
    assert "a.swu is skipped: version 1.9.0, and b.swu has 1.10.0" in caplog.messages


def test_a_plan_is_of_the_same_package_and_writes_nothing(world: World, stick: Path) -> None:
    put(world, stick / "a.swu", "3.0", payload=bytes(5000))
    put(world, stick / "b.swu", "2.0", payload=bytes(4000))
    untouched = world.untouched()
    assert world.ota("plan", stick).answer["written_bytes"] == 5000
    assert untouched()


def test_what_is_not_for_this_device_is_skipped_with_its_reason(
    world: World, stick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(world, stick / "good.SWU", "1.0")  # as FAT may spell it
    put(world, stick / "hardware.swu", "9.0", revision="7")
    put(world, stick / "mode.swu", "9.0", mode="copy-x")
    put(world, stick / "unsigned.swu", "9.0")
    data = (stick / "unsigned.swu").read_bytes()
    (stick / "unsigned.swu").write_bytes(data.replace(b'"9.0"', b'"9.1"', 1))
    (stick / "short.swu").write_bytes(data[:300])
    (stick / "empty.swu").write_bytes(b"")
    (stick / "text.swu").write_text("no package at all " * 100)
    (stick / "folder.swu").mkdir()
    os.mkfifo(stick / "pipe.swu")
    (stick / "dangling.swu").symlink_to("nowhere")
    (stick / "readme.txt").write_text("not looked at")
    with caplog.at_level("INFO"):
        outcome = world.ota("install", stick)
    assert outcome.answer["version"] == "1.0"
    assert installed(world, "1.0")
    skipped = dict(line.split(" is skipped: ") for line in caplog.messages if " is skipped: " in line)
    assert {name: why.split(":")[0] for name, why in skipped.items()} == {
        "hardware.swu": "hardware-mismatch",
        "mode.swu": "description-content",
        "unsigned.swu": "archive-checksum",
        "short.swu": "archive-truncated",
        "empty.swu": "archive-truncated",
        "text.swu": "archive-format",
        "folder.swu": "file-missing",
        "pipe.swu": "file-missing",
        "dangling.swu": "file-missing",
    }


def test_what_somebody_else_signed_is_skipped(world: World, stick: Path) -> None:
    put(world, stick / "a.swu")
    untouched = world.untouched()
    (world.folder / "other").mkdir(exist_ok=True)
    Vendor(world.folder / "other", world.tool)  # its key is all that is needed of it
    world.write_config(trust='trust.certificates = ["other/signer.pem"]')
    outcome = world.ota("install", stick)
    assert outcome.code == "folder-empty"
    assert "a.swu: signature-invalid" in outcome.errors
    assert untouched()


@pytest.mark.parametrize("packages", [0, 2])
def test_none_that_is_for_this_device(world: World, stick: Path, packages: int) -> None:
    for number in range(packages):
        put(world, stick / f"{number}.swu", revision="7")
    untouched = world.untouched()
    outcome = world.ota("install", stick)
    assert outcome.code == "folder-empty"
    found = "0.swu: hardware-mismatch, 1.swu: hardware-mismatch" if packages else "none"
    assert found in outcome.errors
    assert untouched()


def test_of_equal_versions_the_first_by_name(world: World, stick: Path) -> None:
    put(world, stick / "b.swu", "2.0", payload=b"b" * 1000)
    put(world, stick / "a.swu", "2.0.0", payload=b"a" * 1000)
    assert world.ota("install", stick).status == 0
    assert world.slot_b.read_bytes()[:1000] == b"a" * 1000


def test_versions_that_the_device_does_not_take_do_not_count(world: World, stick: Path) -> None:
    put(world, stick / "a.swu", "2.0")
    put(world, stick / "b.swu", "4.0")
    assert world.ota("install", stick, "--max-version", "3.0").answer["version"] == "2.0"


def test_the_mode_is_that_of_the_command(world: World, stick: Path) -> None:
    put(world, stick / "a.swu", "9.0")
    put(world, stick / "b.swu", "1.0", mode="special")
    assert world.ota("install", stick, "--select", "stable,special").answer["version"] == "1.0"


def test_a_package_whose_payload_is_damaged_is_refused_as_it_is(world: World, stick: Path) -> None:
    """The choice is made by what is signed in front; nothing older is installed instead without a word."""
    put(world, stick / "a.swu", "1.0")
    put(world, stick / "b.swu", "2.0")
    whole = (stick / "b.swu").read_bytes()
    (stick / "b.swu").write_bytes(whole.replace(b"2.02.0", b"2.0200", 1))
    untouched = world.untouched()
    assert world.ota("install", stick).code == "archive-checksum"
    assert untouched()


def test_a_folder_that_holds_too_much_is_refused(
    world: World, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (stick / f"{number}.swu").touch()
        (stick / f"{number}.txt").touch()
    monkeypatch.setattr(folder, "MAX_PACKAGES", 4)
    assert world.ota("install", stick).code == "folder-empty"
    monkeypatch.setattr(folder, "MAX_PACKAGES", 3)
    assert world.ota("install", stick).code == "config-value"
    monkeypatch.setattr(folder, "MAX_NAMES", 7)
    assert "too many names" in world.ota("install", stick).errors


def test_what_the_device_trusts_must_be_there(world: World, stick: Path) -> None:
    put(world, stick / "a.swu")
    world.write_config(trust='trust.certificates = ["gone.pem"]')
    assert world.ota("install", stick).code == "certificate"
