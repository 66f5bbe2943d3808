"""What is in a package: the value that `inspect`, `verify` and the report of a build share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

from ota.formats.selection import Description, Entry
from packager.interfaces import Figures


@dataclass(frozen=True, slots=True)
class Stored:
    """One member of the archive."""

    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One artifact that entries install, and what was measured of it."""

    entry: Entry  # of several that install this artifact, the first
    figures: Figures
    is_opened: bool = True  # False: it is encrypted, and no key was at hand


@dataclass(frozen=True, slots=True)
class Choice:
    """What devices of one board install under one selection."""

    board: str  # empty: any
    selection: str  # "set,mode"; empty: the description has no sets
    description: Description


@dataclass(frozen=True, slots=True)
class Contents:
    """A package that was read to its end."""

    file: str
    size: int  # bytes
    sha256: str
    is_signed: bool
    signer: str | None  # None: nobody was asked
    members: tuple[Stored, ...]
    artifacts: tuple[Measurement, ...]
    choices: tuple[Choice, ...]

    @property
    def description(self) -> Description:
        """For what is the same under every choice."""
        return self.choices[0].description

    @property
    def hardware(self) -> list[str]:
        """The revisions that it is for, of all boards."""
        return list(dict.fromkeys(name for choice in self.choices for name in choice.description.hardware))

    def to_json(self) -> dict[str, object]:
        """The object that `--json` prints and `report.json` holds."""
        return {
            "package": self.file,
            "size": self.size,
            "sha256": self.sha256,
            "version": self.description.version,
            "description": self.description.description,
            "hardware": self.hardware,
            **_said(_COMMON, self.description),
            "signed": self.is_signed,
            "signer": self.signer,
            "members": [
                {"name": member.name, "size": member.size, "sha256": member.sha256} for member in self.members
            ],
            "artifacts": [
                {
                    "name": artifact.entry.name,
                    "type": artifact.entry.type,
                    "member": artifact.entry.filename,
                    "compressed": artifact.entry.compressed,
                    **({"encrypted": True, "opened": artifact.is_opened} if artifact.entry.encrypted else {}),
                    **artifact.figures,
                }
                for artifact in self.artifacts
            ],
            "choices": [
                {
                    "board": choice.board,
                    "selection": choice.selection,
                    "entries": [_entry_json(entry) for entry in choice.description.entries],
                    "bootenv": dict(choice.description.bootenv),
                    **({"vars": dict(choice.description.vars)} if choice.description.vars else {}),
                }
                for choice in self.choices
            ],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        chosen = self.description
        yield f"{self.file}  version {chosen.version}, {self.size:,} bytes"
        if chosen.description:
            yield _line("description", chosen.description)
        for name, value in _said(_COMMON, chosen).items():
            yield _line(name, _shown(value))
        yield _line("hardware", ", ".join(self.hardware) or "not stated")
        yield _line("signed by", self.signer or ("not checked" if self.is_signed else "nobody"))
        yield _line("sha256", self.sha256)
        yield "members"
        for member in self.members:
            yield f"  {member.size:>14,}  {member.name}"
        for artifact in self.artifacts:
            yield f"{artifact.entry.name or artifact.entry.filename}  type {artifact.entry.type}"
            if not artifact.is_opened:
                yield _line("encrypted", "not looked into: --decrypt-key FILE does")
            for name, figure in artifact.figures.items():
                yield _line(name.replace("_", " "), f"{figure:,}" if isinstance(figure, int) else figure)
        for choice in self.choices:
            yield " ".join(filter(None, (choice.board, choice.selection))) or "any device"
            for entry in choice.description.entries:
                yield from _entry_lines(entry)
            for kind in ("bootenv", "vars"):
                for name, value in getattr(choice.description, kind).items():
                    yield _line(kind, f"{name}={value}")


# Of a description and of an entry: attribute of the value, and word of the sw-description. They are shown
# where they say something.
_COMMON: Final = {
    "name": "name",
    "update_type": "update-type",
    "reboot": "reboot",
    "transaction_marker": "bootloader_transaction_marker",
    "state_marker": "bootloader_state_marker",
    "namespace": "namespace-for-vars",
}
_ATTRIBUTES: Final = {
    "name": "name",
    "version": "version",
    "install_if_different": "install-if-different",
    "install_if_higher": "install-if-higher",
    "volume": "volume",
    "path": "path",
    "filesystem": "filesystem",
    "size": "size",
    "offset": "offset",
    "compressed": "compressed",
    "encrypted": "encrypted",
    "ivt": "ivt",
    "installed_directly": "installed-directly",
    "preserve_attributes": "preserve-attributes",
    "data": "data",
}


def _line(label: str, value: str) -> str:
    return f"  {label:<14}  {value}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _said(words: Mapping[str, str], value: Description | Entry) -> dict[str, object]:
    """What differs from its default."""
    default = {field.name: field.default for field in fields(value)}
    default |= {"transaction_marker": True, "state_marker": True}
    found = {name: getattr(value, name) for name in words}
    return {words[name]: said for name, said in found.items() if said not in (None, default[name])}


def _entry_lines(entry: Entry) -> Iterator[str]:
    target = entry.device or entry.volume or entry.path
    yield _line(entry.type, " to ".join(filter(None, (entry.filename, target))))
    for name, value in {**_said(_ATTRIBUTES, entry), **entry.properties}.items():
        yield _line("", f"{name}: {_shown(value)}")


def _entry_json(entry: Entry) -> dict[str, object]:
    return {
        "section": entry.section,
        "type": entry.type,
        "filename": entry.filename,
        "device": entry.device,
        **_said(_ATTRIBUTES, entry),
        "sha256": entry.sha256,
        "properties": {
            name: values[0] if len(values) == 1 else list(values) for name, values in entry.properties.items()
        },
    }
