"""Which entries of a sw-description this device installs, for its board, software set and mode.

Decides from the tree alone what is installed in which order; where fields are looked for stands in `links`.
Format: SWUpdate's sw-description.rst and, where that is silent, its parser.c.

Stricter than stock SWUpdate, which warns and then installs something else than was meant: known attributes
of a wrong type, texts that it would cut, properties other than strings and links that lead nowhere are
refused. So are features that would change what is installed and do not exist here (`features`).
Unknown attributes are ignored, as there.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from ota.errors import ConfigError, UpdateError
from ota.formats import attributes, features
from ota.formats.attributes import refuse
from ota.formats.description import MAX_SIZE, Tree
from ota.formats.links import Path, View
from ota.formats.variables import fault

ROOT: Final = "software"

_DEFAULT_TYPE: Final = {"files": "rawfile", "scripts": "lua", "partitions": "ubipartition"}
_FIELDS: Final = frozenset({
    "version", "description", "hardware-compatibility", "reboot", "update-type", "output", "embedded-script",
    "bootloader_transaction_marker", "bootloader_state_marker", "namespace-for-vars",
})  # fmt: skip


class Section(StrEnum):
    """A list of entries, in the order in which they are installed."""

    PARTITIONS = "partitions"
    IMAGES = "images"
    FILES = "files"
    SCRIPTS = "scripts"


_SECTIONS: Final = frozenset({*Section, "bootenv", "uboot", "vars"})
_DATA: Final = frozenset({Section.IMAGES, Section.FILES})


def may_stand(section: Section, sections: Set[Section]) -> bool:
    """Whether a type that belongs into `sections` is taken in this one.

    SWUpdate does not tell images from files there (core/parser.c, check_handler), and packages rely on it.
    """
    return section in sections or (section in _DATA and not _DATA.isdisjoint(sections))


class Compression(StrEnum):
    """Of an artifact in the archive."""

    ZLIB = "zlib"  # in gzip's wrapper
    XZ = "xz"
    ZSTD = "zstd"
    LZ4 = "lz4"  # frames; SWUpdate from 2026.05 on


@dataclass(frozen=True, slots=True)
class Selection:
    """A software set and a mode of it, as in `-e stable,copy-1`."""

    set: str
    mode: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "set,mode", or raise ConfigError("config-value")."""
        words = [word.strip() for word in text.split(",")]
        if len(words) != 2 or not all(words):
            raise ConfigError("config-value", "the selection", expected="SET,MODE", found=repr(text))
        return cls(*words)

    def __str__(self) -> str:
        return f"{self.set},{self.mode}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of a section; attributes that it lacks are None."""

    section: Section
    type: str
    filename: str | None = None
    name: str | None = None
    version: str | None = None
    device: str | None = None
    volume: str | None = None
    path: str | None = None
    filesystem: str | None = None
    size: int | None = None  # bytes
    offset: int = 0  # bytes, in the target
    compressed: Compression | None = None
    encrypted: bool = False  # AES-CBC
    ivt: str | None = None  # hex, instead of the IV of the device's key
    aes_key: str | None = None  # hex, instead of the device's key
    sha256: str | None = None  # lower-case hex, of the artifact as stored
    installed_directly: bool = False
    install_if_different: bool = False
    install_if_higher: bool = False
    preserve_attributes: bool = False
    data: str | None = None
    properties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.section} {self.filename or self.name or self.device or self.type}"

    def property(self, name: str) -> str | None:
        """The value of a property; of several the last, as SWUpdate's dict_get_value has it."""
        values = self.properties.get(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool:
        """A property that is "true" or "false"; false where it is not there.

        Raises:
            UpdateError: "description-content". SWUpdate takes any other word for "false".
        """
        word = self.property(name)
        if word not in (None, "true", "TRUE", "false", "FALSE"):
            refuse(f"{self.label}: property {name}", expected="true or false", found=word)
        return word in ("true", "TRUE")


@dataclass(frozen=True, slots=True)
class Description:
    """What a sw-description asks of this device."""

    version: str
    name: str | None
    description: str | None
    update_type: str | None
    hardware: tuple[str, ...]
    entries: tuple[Entry, ...]  # in order of installation; scripts last
    bootenv: Mapping[str, str]  # an empty value unsets the variable
    vars: Mapping[str, str]  # as bootenv, for a namespace beside it
    namespace: str | None  # of the vars
    output: str | None  # where SWUpdate keeps a copy of the package
    reboot: bool | None  # None: the device's own setting
    transaction_marker: bool
    state_marker: bool


def select(tree: Tree, board: str, selection: Selection | None, *, required: bool = False) -> Description:
    """What a device of this board installs from a parsed sw-description.

    Args:
        tree: as `description.parse` returns it.
        board: first word of /etc/hwrevision; may be empty.
        selection: software set and mode, if any.
        required: refuse a description without this selection, instead of falling back to board or root.

    Raises:
        UpdateError: selection-missing, hardware-mismatch for another board's, description-content, or
            member-name for a `filename` that is a path.
    """
    if not isinstance(tree.get(ROOT), dict):
        refuse(f"there is no group {ROOT!r}")
    modes = _modes(board, selection)
    view = View(tree, [*modes, *_bases(board)])
    if required and selection and not any(view.has(path) for path in modes):
        raise UpdateError(
            "selection-missing",
            f"the sw-description has no software set and mode {str(selection)!r}",
            expected=" or ".join(selections(tree)) or "no selection: it has no sets",
            found=selection,
        )
    if view.find("embedded-script"):
        features.refuse("Lua", "embedded-script")
    chosen = Description(
        version=attributes.text(view.field("version"), "version") or refuse("there is no version"),
        name=attributes.text(view.field("name"), "name"),
        description=attributes.text(view.field("description"), "description", limit=MAX_SIZE),
        update_type=attributes.text(view.field("update-type"), "update-type"),
        hardware=attributes.texts(view.field("hardware-compatibility"), "hardware-compatibility"),
        entries=tuple(entry for section in Section for entry in _entries(view, section)),
        bootenv=_variables(view, "bootenv" if view.find("bootenv") else "uboot"),
        vars=_variables(view, "vars"),
        namespace=attributes.text(view.field("namespace-for-vars"), "namespace-for-vars"),
        output=attributes.text(view.field("output"), "output"),
        reboot=_reboot(view),
        transaction_marker=_marker(view, "bootloader_transaction_marker"),
        state_marker=_marker(view, "bootloader_state_marker"),
    )
    if not (chosen.entries or chosen.bootenv or chosen.vars):
        if board and (others := _boards(tree)):
            raise UpdateError(
                "hardware-mismatch",
                "the update is not for this board",
                expected=" or ".join(others),
                found=board,
            )
        refuse(f"nothing to install for board {board!r} and selection {str(selection or '')!r}")
    return chosen


def selections(tree: Tree) -> list[str]:
    """Every "set,mode" that can be selected, for whatever board, in the order of the text."""
    found: dict[str, None] = {}
    for first, group in _groups(tree.get(ROOT)):
        for second, subgroup in _groups(group):
            if _is_mode(subgroup):
                found[f"{first},{second}"] = None
                continue
            for third, mode in _groups(subgroup):
                if _is_mode(mode):
                    found[f"{second},{third}"] = None
    return list(found)


def _boards(tree: Tree) -> list[str]:
    """Those that have sets and modes of their own."""
    boards = _groups(tree.get(ROOT))
    return [
        name for name, sets in boards if any(_is_mode(m) for _, of in _groups(sets) for _, m in _groups(of))
    ]


def _bases(board: str) -> list[Path]:
    return [(ROOT, board), (ROOT,)] if board else [(ROOT,)]


def _modes(board: str, selection: Selection | None) -> list[Path]:
    """Where the selected mode may stand."""
    return [(*base, selection.set, selection.mode) for base in _bases(board)] if selection else []


def _groups(node: object) -> Iterator[tuple[str, dict[str, object]]]:
    """The groups in a group that may be boards, sets or modes."""
    if isinstance(node, dict):
        for name, group in node.items():
            if isinstance(group, dict) and name not in _SECTIONS and name not in _FIELDS:
                yield name, group


def _is_mode(group: dict[str, object]) -> bool:
    return "ref" in group or not _SECTIONS.isdisjoint(group)


def _entries(view: View, section: Section) -> Iterator[Entry]:
    for element in view.elements(section):
        # SWUpdate skips these before it looks at anything else in them. Scripts and partitions may do
        # without data.
        if section in (Section.IMAGES, Section.FILES) and "filename" not in element:
            continue
        yield _entry(section, element)


def _entry(section: Section, element: dict[str, object]) -> Entry:
    name = element.get("filename", element.get("name", element.get("device", "")))
    where = f"{section} entry {reprlib.repr(name)}"

    def text(name: str) -> str | None:
        return attributes.text(element.get(name), f"{where}: {name}")

    def flag(name: str) -> bool:
        return attributes.flag(element.get(name), f"{where}: {name}", default=False)

    _refuse_lua(element, where)
    device, volume = text("device"), text("volume")
    kind = text("type") or _DEFAULT_TYPE.get(section) or (volume and "ubivol") or (device and "raw")
    if section is Section.PARTITIONS and not device:
        refuse(f"{where}: a partition without device")
    return Entry(
        section=section,
        type=kind or refuse(f"{where}: neither type, device nor volume"),
        filename=_filename(element.get("filename"), where),
        name=text("name"),
        version=text("version"),
        device=device,
        volume=volume,
        path=text("path"),
        filesystem=text("filesystem"),
        size=attributes.length(element.get("size"), f"{where}: size"),
        offset=attributes.length(element.get("offset"), f"{where}: offset") or 0,
        compressed=_compression(element.get("compressed"), f"{where}: compressed"),
        encrypted=_encrypted(element.get("encrypted"), f"{where}: encrypted"),
        ivt=attributes.hexadecimal(element.get("ivt"), f"{where}: ivt", 32),
        aes_key=attributes.hexadecimal(element.get("aes-key"), f"{where}: aes-key", 32, 48, 64),
        sha256=attributes.hexadecimal(element.get("sha256"), f"{where}: sha256", 64),
        installed_directly=flag("installed-directly"),
        install_if_different=flag("install-if-different"),
        install_if_higher=flag("install-if-higher"),
        preserve_attributes=flag("preserve-attributes"),
        data=text("data"),
        properties=attributes.properties(element.get("properties"), where),
    )


def _refuse_lua(element: dict[str, object], where: str) -> None:
    for name in features.LUA_ATTRIBUTES:
        if attributes.text(element.get(name), f"{where}: {name}"):
            features.refuse("Lua", f"{where}: {name}")


def _encrypted(value: object, where: str) -> bool:
    """SWUpdate names the mode from 2025.12 on; its OpenSSL build decrypts CBC whatever the name says."""
    match value:
        case None | False:
            return False
        case True | "aes-cbc" | "aes-cbc-128" | "aes-cbc-192" | "aes-cbc-256":
            return True
    refuse(
        f"{where} is not supported", expected="true, or aes-cbc, also with -128, -192 or -256", found=value
    )


def _variables(view: View, section: str) -> dict[str, str]:
    variables: dict[str, str] = {}
    for element in view.elements(section):
        where = f"{section} variable {reprlib.repr(element.get('name'))}"
        _refuse_lua(element, where)
        name = attributes.text(element.get("name"), where) or refuse(f"{section}: a variable without name")
        value = attributes.text(element.get("value"), f"{where}: value") or ""
        if reason := fault(name, value):
            refuse(f"{where}: {reason}", found=value)
        variables.setdefault(name, value)  # of two SWUpdate takes the first as well
    return variables


def _marker(view: View, name: str) -> bool:
    return attributes.flag(view.field(name), name, default=True)


def _reboot(view: View) -> bool | None:
    match view.field("reboot"):
        case None:
            return None
        case bool(value):
            return value
        case "enabled" | "disabled" as word:
            return word == "enabled"
        case other:
            refuse("reboot has a wrong value", expected="true, false, enabled or disabled", found=other)


def _filename(value: object, where: str) -> str | None:
    name = attributes.text(value, f"{where}: filename")
    if value is not None and (name is None or "/" in name or name in (".", "..")):
        raise UpdateError(
            "member-name", where, expected="a filename without directories", found=reprlib.repr(value)
        )
    return name


def _compression(value: object, where: str) -> Compression | None:
    match value:
        case None | False:
            return None
        case True:
            return Compression.ZLIB
        case str() if value in set(Compression):
            return Compression(value)
    refuse(f"{where} is not supported", expected=" or ".join(Compression), found=value)
