"""The sw-description of a release: a section for each board, in it a mode for each slot."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, cast

from ota.board import Board, Slot
from ota.formats import description, selection
from packager.entries import KEYS, Element, Item
from packager.interfaces import Artifact, Properties
from packager.release import Release

# Of an entry's attributes.
_ORDER: Final = (
    "name", "version", "install-if-different", "install-if-higher", "filename", "type", "device", "volume",
    "path", "filesystem", "size", "offset", "compressed", "encrypted", "ivt", "sha256", "installed-directly",
    "preserve-attributes", "data", "properties",
)  # fmt: skip

_Made = tuple[Item, Artifact | None, Element | None]


def describe(
    release: Release, artifacts: Sequence[Artifact | None], signed: Mapping[str, str] | None = None
) -> bytes:
    """The sw-description of a release and of what its entries became, one or none for each.

    Args:
        signed: attributes that no device asks for, and that the signature is to cover.
    """
    stored = [_stored(artifact) if artifact else None for artifact in artifacts]
    made: list[_Made] = list(zip(release.items, artifacts, stored, strict=True))
    software = {
        "version": release.version,
        **({"description": release.description} if release.description else {}),
        **release.common,
        **(signed or {}),
        # In sections of their own: the revision alone would fit boards of another name.
        **{
            board.name: {
                "hardware-compatibility": list(board.revisions),
                board.software_set: {slot.mode: _mode(release, board, slot, made) for slot in board.slots},
            }
            for board in release.boards
        },
    }
    return description.render({selection.ROOT: software}, release.form)


def _mode(release: Release, board: Board, slot: Slot, made: Sequence[_Made]) -> Element:
    """What is installed into `slot` of a board."""
    sections = {
        str(section): [_element(board, slot, *of_item) for of_item in made if of_item[0].section is section]
        for section in KEYS.values()
    }
    bootenv = {**(slot.bootenv if release.switches else {}), **release.bootenv}
    return {
        **{name: elements for name, elements in sections.items() if elements},
        "bootenv": _variables(bootenv),
        **({"vars": _variables(release.vars)} if release.vars else {}),
    }


def _variables(variables: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _element(
    board: Board, slot: Slot, item: Item, artifact: Artifact | None, stored: Element | None
) -> Element:
    """One element of a section, in the mode that writes `slot`."""
    element = dict(item.elements[board.name, slot.name])
    if artifact and stored:
        properties = {
            **artifact.properties(board.other(slot)),
            **cast(Properties, element["properties"]),
        }
        element |= {**stored, "properties": properties}
        if item.states_size:
            element["size"] = artifact.file.stat().st_size
    return {name: element[name] for name in _ORDER if element.get(name)}


def _stored(artifact: Artifact) -> Element:
    """What an entry says of its artifact, whatever the slot."""
    with artifact.file.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "filename": artifact.member,
        "compressed": artifact.compressed and str(artifact.compressed),
        "encrypted": artifact.ivt is not None,
        "ivt": artifact.ivt,
        "sha256": sha256,
    }
