"""Packages of single entries, and file systems for them, on the device of a `World`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ota.tests.world import IMAGE_SIZE, Outcome, World, sha256

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ, reason="only root mounts, changes owners and makes devices"
)

SLOT_B = "/dev/mmcblk0p3"


def entry(kind: str, payload: Path | None = None, **attributes: object) -> str:
    """An entry in libconfig's syntax; `properties` is a mapping, and `_` in a name stands for `-`."""
    named = {"filename": payload.name, "sha256": sha256(payload)} if payload else {}
    return _group({"type": kind, **named, **attributes})


def package(world: World, *members: Path, **sections: str) -> Path:
    """Each section's entries, as one text."""
    lists = " ".join(f"{name}: ( {entries} );" for name, entries in sections.items())
    description = (
        'software = { version = "2.0"; hardware-compatibility: [ "1.0" ]; '
        f"stable = {{ copy-b = {{ {lists} }}; }}; }}\n"
    )
    return world.make_package(description, *members)


def install(world: World, *members: Path, **sections: str) -> Outcome:
    """Install a package of these entries."""
    return world.ota("install", package(world, *members, **sections))


@contextmanager
def mounted(world: World, slot: Path) -> Iterator[Path]:
    """A slot's file system."""
    folder = world.folder / "look"
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", slot, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def make_ext4(world: World, slot: Path, tree: Path) -> None:
    """A file system of IMAGE_SIZE in a slot, with these files."""
    with slot.open("r+b") as file:
        file.write(bytes(IMAGE_SIZE))
    command: list[str | Path] = [
        world.tool("mke2fs"),
        "-q",
        "-F",
        "-t",
        "ext4",
        "-d",
        tree,
        slot,
        f"{IMAGE_SIZE >> 10}k",
    ]
    subprocess.run(command, check=True, capture_output=True)


def _group(attributes: Mapping[str, object]) -> str:
    pairs = ((name.replace("_", "-"), value) for name, value in attributes.items())
    return "{ " + " ".join(f"{name} = {_value(value)};" for name, value in pairs) + " }"


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Mapping():
            return _group(value)
        case _:
            return str(value) if isinstance(value, int) else f'"{value}"'
