"""Packages with entries of any `type`, for the device of a `World`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ota.tests.world import Outcome, World

Properties = Mapping[str, str | Sequence[str]]


def entry(kind: str, device: Path, properties: Properties = {}, **attributes: str) -> str:  # noqa: B006
    """An element of a section, in libconfig's syntax."""
    said = "".join(f"{name} = {quoted(value)}; " for name, value in properties.items())
    words = "".join(f"{name} = {quoted(value)}; " for name, value in attributes.items())
    return f'{{ type = "{kind}"; device = "{device}"; {words}properties: {{ {said}}}; }}'


def quoted(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return "[ " + ", ".join(f'"{word}"' for word in value) + " ]"


def install(world: World, *members: Path, **sections: str) -> Outcome:
    """Install a package with these sections."""
    return world.ota("install", pack(world, *members, **sections))


def pack(world: World, *members: Path, **sections: str) -> Path:
    lists = " ".join(f"{name}: ( {entries} );" for name, entries in sections.items())
    description = (
        'software = { version = "2.0"; hardware-compatibility: [ "1.0" ]; stable = { '
        f'copy-b = {{ {lists} bootenv: ( {{ name = "boot_slot"; value = "b"; }} ); }}; }}; }}\n'
    )
    return world.make_package(description, *members)
