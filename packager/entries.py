"""The entries of a release file: `[[partition]]`, `[[image]]`, `[[file]]` and `[[script]]`, read strictly.

Keys are the attributes of the sw-description (sw-description.rst, "Attribute reference"); `file` becomes the
payload. What differs between slots stands in a sub-table named like the slot: `[image.slots.a]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from ota.board import Board, Slot
from ota.errors import ConfigError, UpdateError
from ota.formats import description, features
from ota.formats.selection import Entry, Section
from ota.settings import Table
from packager import inputs, types
from packager.interfaces import Image, Properties
from packager.types import TYPES, Row

KEYS: Final = {
    "partition": Section.PARTITIONS,
    "image": Section.IMAGES,
    "file": Section.FILES,
    "script": Section.SCRIPTS,
}
"""Of the release file, in the order of installation."""

Element = Mapping[str, object]
"""An element of a section of the sw-description."""

Place = tuple[str, str]
"""A board's name, and that of one of its slots."""


_FLAGS: Final = (
    "install-if-different", "install-if-higher", "installed-directly", "preserve-attributes"
)  # fmt: skip
_TEXTS: Final = ("device", "volume", "path", "filesystem", "data")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the release file."""

    key: str
    name: str
    type: str
    image: Image | None  # None: there is no payload
    is_encrypted: bool
    states_size: bool  # how long the artifact is
    sbom: Path | None  # SPDX or CycloneDX, where the image itself does not tell what is in it
    elements: Mapping[Place, Element]  # of the slot that is written; without what the payload says

    @property
    def section(self) -> Section:
        """Where it stands in the sw-description."""
        return KEYS[self.key]

    @property
    def row(self) -> Row:
        """Of its type."""
        return TYPES[self.type]

    @property
    def is_delta(self) -> bool:
        """Whether it is delivered as a delta from whatever devices hold."""
        return self.type == "delta"

    def entry(self, place: Place) -> Entry:
        """As a device will read it, without what the payload says."""
        return _entry(self.section, self.elements[place])


def read(table: Table, boards: Sequence[Board], version: str) -> tuple[Item, ...]:
    """All entries of the release file.

    Raises:
        ConfigError: config-key, config-value, file-missing or release-content.
    """
    items = tuple(_read(values, key, boards, version) for key in KEYS for values in table.tables(key))
    names = [item.name for item in items]
    for name in names:  # the artifacts are named after them
        if names.count(name) > 1:
            raise ConfigError("release-content", f"{table.path}: two entries are named {name!r}")
    for place in places(boards):
        _check_targets(table.path, items, place)
    return items


def places(boards: Sequence[Board]) -> dict[Place, Slot]:
    """Every slot of every board."""
    return {(board.name, slot.name): slot for board in boards for slot in board.slots}


def _read(table: Table, key: str, boards: Sequence[Board], version: str) -> Item:
    name, kind = inputs.name(table, "name"), _type(table, key)
    row = TYPES[kind]
    image = _image(table, key, name, kind)
    shared: dict[str, object] = {
        "name": name,
        "version": inputs.name(table, "version", version),
        "type": kind,
        **{flag: table.flag(flag, False) for flag in _FLAGS},
        **({"size": table.optional_size("size")} if key == "partition" else {}),
        **_targets(table),
    }
    slots = places(boards)
    own = dict(_of_slots(table, {slot.name for slot in slots.values()}))
    item = Item(
        key=key,
        name=name,
        type=kind,
        image=image,
        is_encrypted=image is not None and table.flag("encrypted", False),
        sbom=inputs.optional_file(table, "sbom") if image and key == "image" else None,
        states_size=image is not None and key != "partition" and table.flag("size", False),
        elements={place: _merge(row, slot, shared, own.get(slot.name, {})) for place, slot in slots.items()},
    )
    table.done()
    for place, slot in slots.items():
        _check(item, place, slot, f"{table.path}: {key} {name!r}")
    return item


def _type(table: Table, key: str) -> str:
    kind = table.text("type")
    fitting = [word for word, row in TYPES.items() if KEYS[key] in row.sections]
    if kind in fitting:
        return kind
    hint = None
    if kind in TYPES:
        places = [f"[[{other}]]" for other, section in KEYS.items() if section in TYPES[kind].sections]
        hint = f"its place is {' or '.join(places)}"
    else:
        try:
            features.refuse_type(kind, key)
        except UpdateError as error:
            hint = f"{error.what}; {error.hint}"
    raise ConfigError(
        "config-value",
        f"{table.path}: type of an entry in [[{key}]] is wrong",
        expected=" or ".join(fitting),
        found=repr(kind),
        hint=hint,
    )


def _image(table: Table, key: str, name: str, kind: str) -> Image | None:
    builder = TYPES[kind].builder
    if builder is None:
        return None
    # An image of nothing is a mistake; an empty file is a file.
    file = inputs.image(table, "file") if key == "image" else inputs.file(table, "file")
    return Image(name, file, kind, builder.read(table))


def _of_slots(table: Table, slots: Set[str]) -> Iterator[tuple[str, Element]]:
    for name, values in table.named_tables("slots"):
        if name not in slots:
            raise ConfigError(
                "config-key",
                f"{table.path}: an entry speaks of a slot that the board has not",
                expected=" or ".join(sorted(slots)),
                found=name,
            )
        yield name, _targets(values)
        values.done()


def _targets(table: Table) -> dict[str, object]:
    """What may differ between slots."""
    found: dict[str, object] = {name: table.optional_text(name) for name in _TEXTS}
    offset = table.optional_size("offset")
    # A string, which SWUpdate reads in full; of a number in JSON it reads 31 bits.
    found["offset"] = str(offset) if offset else None
    found["properties"] = table.strings("properties")
    return {name: value for name, value in found.items() if value}


def _merge(row: Row, slot: Slot, shared: Element, own: Element) -> Element:
    properties = {
        name: value
        for element in (shared, own)
        for name, value in cast(Properties, element.get("properties", {})).items()
    }
    device = {"device": slot.device} if row.is_for_slots else {}
    return {**device, **shared, **own, "properties": properties}


def _check(item: Item, place: Place, slot: Slot, where: str) -> None:
    """Refuse what SWUpdate would refuse, or pass over."""
    entry = item.entry(place)
    fault = types.said_in_vain(entry)
    if item.row.base and entry.device != slot.device and not entry.properties.get(item.row.base):
        fault = f"its device is not the slot's, so property {item.row.base} has to say what it is based on"
    if fault is None:
        made = dict.fromkeys(item.row.made, ("made by the builder",))
        complete = replace(
            entry,
            filename=item.name if item.image else None,
            properties={**made, **entry.properties},
        )
        try:
            types.check(complete, where)
            description.check_values(item.elements[place])
            return
        except UpdateError as error:
            raise ConfigError(
                "release-content", error.what, expected=error.expected, found=error.found
            ) from error
    raise ConfigError("release-content", f"{where}: {fault}")


def _check_targets(path: Path, items: Sequence[Item], slot: Place) -> None:
    """Refuse two entries for one place."""
    taken: dict[tuple[object, ...], str] = {}
    for item in items:
        target = types.place(item.entry(slot))
        if target is None:
            continue
        if target in taken:
            raise ConfigError(
                "release-content",
                f"{path}: {taken[target]!r} and {item.name!r} go to the same place",
                found=" ".join(str(part) for part in target if part),
                hint="without 'device' that is the slot that does not run: a board has one device for it",
            )
        taken[target] = item.name


def _entry(section: Section, element: Element) -> Entry:
    values: dict[str, Any] = {name.replace("-", "_"): value for name, value in element.items()}
    values["offset"] = int(values.get("offset", 0))
    values["properties"] = {
        name: tuple(value) if isinstance(value, list) else (value,)
        for name, value in values["properties"].items()
    }
    return Entry(section, **values)
