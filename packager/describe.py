"""The sw-description of a release: one mode for each slot, named as the board says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, cast

from ota.board import Slot
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


def describe(release: Release, artifacts: Sequence[Artifact | None]) -> bytes:
    """The sw-description of a release and of what its entries became, one or none for each."""
    stored = [_stored(artifact) if artifact else None for artifact in artifacts]
    made = list(zip(release.items, artifacts, stored, strict=True))
    modes = {}
    for slot in release.board.slots:
        sections = {
            str(section): [
                _element(release, slot, *of_item) for of_item in made if of_item[0].section is section
            ]
            for section in KEYS.values()
        }
        bootenv = {**(slot.bootenv if release.switches else {}), **release.bootenv}
        modes[slot.mode] = {
            **{name: elements for name, elements in sections.items() if elements},
            "bootenv": _variables(bootenv),
            **({"vars": _variables(release.vars)} if release.vars else {}),
        }
    software = {
        "version": release.version,
        **({"description": release.description} if release.description else {}),
        **release.common,
        # In a section of its own: the revision alone would fit boards of another name.
        release.board.name: {
            "hardware-compatibility": list(release.board.revisions),
            release.board.software_set: modes,
        },
    }
    return description.render({selection.ROOT: software}, release.form)


def _variables(variables: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _element(
    release: Release, slot: Slot, item: Item, artifact: Artifact | None, stored: Element | None
) -> Element:
    """One element of a section, in the mode that writes `slot`."""
    element = dict(item.elements[slot.name])
    if artifact and stored:
        properties = {
            **artifact.properties(release.board.other(slot)),
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
