"""The release file: what a release is made of, read strictly. README.md of this folder shows one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota import board, settings
from ota.board import Board
from ota.errors import ConfigError
from ota.formats.description import MAX_TEXT, Form
from ota.formats.selection import Section
from ota.settings import Table
from ota.trust import decryption
from ota.trust.decryption import Key
from packager import earlier, entries, hooks, inputs, keys, limits, overrides, slots
from packager.earlier import Earlier
from packager.entries import Item, Place
from packager.hooks import Hooks
from packager.keys import Signer
from packager.limits import Limits

# What a boot environment holds as lines `name=value`.
_VARIABLE: Final = re.compile(r"[^=\s\x00-\x1f]+")
_VALUE: Final = re.compile(r"[^\x00-\x1f]*")


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a device's software.

    Attributes:
        common: fields of the sw-description that are the same for every slot.
        bootenv, vars: variables that are set whatever slot is written; an empty value unsets one.
        switches: whether the variables of the slot that was written, which start it, are set.
        key: of encrypted artifacts.
        commit: of the sources that it was made from.
        earlier: what its deltas may be made from.
    """

    file: Path
    name: str
    version: str
    description: str | None
    boards: tuple[Board, ...]
    items: tuple[Item, ...]
    signer: Signer | None
    form: Form
    common: Mapping[str, object]
    bootenv: Mapping[str, str]
    vars: Mapping[str, str]
    switches: bool
    key: Key | None
    commit: str | None
    earlier: Earlier
    limits: Limits
    hooks: Hooks

    @property
    def package(self) -> str:
        """The archive's file name."""
        return f"{self.name}-{self.version}.swu"


def read(path: Path, changes: Sequence[str] = ()) -> Release:
    """Read a release file, and see that all files that it names are there.

    Args:
        path: the file.
        changes: "KEY=VALUE" each, as `overrides` explains.

    Raises:
        ConfigError: config-syntax, config-key, config-value, file-missing or release-content.
    """
    table = Table(path, overrides.apply(settings.load(path), changes))
    named, version = _boards(table), inputs.name(table, "version")
    boards = tuple(named.values())
    name = inputs.name(table, "name", boards[0].name if len(boards) == 1 else None)
    description, items = _text(table, "description"), entries.read(table, boards, version)
    switch, encrypt = table.optional_flag("switch"), table.table("encrypt")
    release = Release(
        file=path,
        name=name,
        version=version,
        description=description,
        boards=boards,
        items=items,
        signer=keys.read(table.table("sign")),
        form=_form(table),
        common=_common(table),
        bootenv=_variables(table, "bootenv"),
        vars=_variables(table, "vars"),
        switches=switch is not False,
        key=_key(encrypt),
        commit=_text(table, "source-commit"),
        earlier=earlier.read(table, version),
        limits=limits.read(table.table("device"), table.table("budget")),
        hooks=hooks.read(table.table("hooks")),
    )
    table.done()
    _check_entries(path, release, switch)
    for written, found in named.items():
        slots.check(found, slots.sizes(written, path.parent), items)
    _check_bootenv(path, release)
    return release


def _boards(table: Table) -> dict[str, Board]:
    """The boards, by the name or path that is written."""
    single, several = table.optional_text("board"), table.texts("boards")
    if (single is None) == (not several):
        raise ConfigError(
            "config-key",
            f"{table.path}: for which board?",
            expected="one of the keys 'board' and 'boards'",
            found="both" if several else "neither",
        )
    boards = [(name, _board(table.path, name)) for name in several or filter(None, (single,))]
    names = [found.name for _, found in boards]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError("config-value", f"{table.path}: boards: two are named {name!r}")
    return dict(boards)


def _board(path: Path, name: str) -> Board:
    found = board.load(name, path.parent)
    if not found.revisions:
        raise ConfigError(
            "config-value", f"board {found.name!r}: revisions", expected="at least one", found="none"
        )
    return found


def _text(table: Table, key: str) -> str | None:
    text = table.optional_text(key)
    if text and len(text.encode()) > MAX_TEXT:
        raise ConfigError(
            "config-value",
            f"{table.path}: {key} is too long",
            expected=f"at most {MAX_TEXT} bytes",
            found=len(text.encode()),
        )
    return text


def _form(table: Table) -> Form:
    word = table.text("format", Form.LIBCONFIG)
    if word not in set(Form):
        raise ConfigError(
            "config-value", f"{table.path}: format is wrong", expected=" or ".join(Form), found=repr(word)
        )
    return Form(word)


def _common(table: Table) -> dict[str, object]:
    found: dict[str, object | None] = {
        "name": _text(table, "software-name"),  # `name` is the package's, and was so first
        "update-type": _text(table, "update-type"),
        "namespace-for-vars": _text(table, "namespace-for-vars"),
    }
    flags = ("reboot", "bootloader_transaction_marker", "bootloader_state_marker")
    found |= {flag: table.optional_flag(flag) for flag in flags}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _variables(table: Table, key: str) -> dict[str, str]:
    variables = table.mapping(key)
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ConfigError(
                "config-value",
                f"{table.path}: {key}.{name} is wrong",
                expected="no control character, and no blank or '=' in its name",
                found=repr(value),
            )
        if len(name.encode()) > MAX_TEXT or len(value.encode()) > MAX_TEXT:
            raise ConfigError(
                "config-value",
                f"{table.path}: {key}.{name} is longer than SWUpdate reads",
                expected=f"at most {MAX_TEXT} bytes",
                found=max(len(name.encode()), len(value.encode())),
            )
    return variables


def _key(table: Table) -> Key | None:
    path = table.optional_file("key")
    table.done()
    return decryption.read_key(inputs.existing(path, f"{table.path}: [encrypt]")) if path else None


def _check_entries(path: Path, release: Release, switch: bool | None) -> None:
    if not release.items:
        expected = " or ".join(f"[[{key}]]" for key in entries.KEYS)
        raise ConfigError("release-content", f"{path} installs nothing", expected=expected)
    places = entries.places(release.boards)
    if switch is None and not all(_is_written(at, slot.device, release.items) for at, slot in places.items()):
        raise ConfigError(
            "config-key",
            f"{path}: no image or file goes to the slot that does not run",
            expected="the key 'switch'",
            hint="true: the boot loader is to start that slot all the same; false: it is not",
        )
    encrypted = [item.name for item in release.items if item.is_encrypted]
    if bool(encrypted) != bool(release.key):
        raise ConfigError(
            "release-content",
            f"{path}: what is encrypted, and with what key?",
            expected="entries with encrypted = true, and [encrypt] with key",
            found=f"{', '.join(encrypted) or 'no such entry'}, and {'a' if release.key else 'no'} key",
        )


def _is_written(place: Place, device: str, items: tuple[Item, ...]) -> bool:
    written = (Section.IMAGES, Section.FILES)
    return any(item.section in written and item.entry(place).device == device for item in items)


def _check_bootenv(path: Path, release: Release) -> None:
    for slot in entries.places(release.boards).values():
        for name in release.bootenv if release.switches else ():
            if name in slot.bootenv:
                raise ConfigError(
                    "release-content",
                    f"{path}: bootenv.{name} is what starts slot {slot.name!r}",
                    hint="the board file sets it; with switch = false it does not",
                )
