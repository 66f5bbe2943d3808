"""What is in a package: the value that `inspect`, `verify` and the report of a build share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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

    def to_json(self) -> dict[str, object]:
        """The object that `--json` prints and `report.json` holds."""
        return {
            "package": self.file,
            "size": self.size,
            "sha256": self.sha256,
            "version": self.description.version,
            "description": self.description.description,
            "hardware": list(self.description.hardware),
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
        yield _line("hardware", ", ".join(chosen.hardware) or "not stated")
        yield _line("signed by", self.signer or ("not checked" if self.is_signed else "nobody"))
        yield _line("sha256", self.sha256)
        yield "members"
        for member in self.members:
            yield f"  {member.size:>14,}  {member.name}"
        for artifact in self.artifacts:
            yield f"{artifact.entry.name or artifact.entry.filename}  type {artifact.entry.type}"
            for name, value in artifact.figures.items():
                yield _line(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else value)
        for choice in self.choices:
            yield " ".join(filter(None, (choice.board, choice.selection))) or "any device"
            for entry in choice.description.entries:
                yield _line(entry.type, f"{entry.filename} to {entry.device or entry.volume or entry.path}")
            for name, value in choice.description.bootenv.items():
                yield _line("bootenv", f"{name}={value}")


def _line(label: str, value: str) -> str:
    return f"  {label:<14}  {value}"


def _entry_json(entry: Entry) -> dict[str, object]:
    return {
        "section": entry.section,
        "type": entry.type,
        "filename": entry.filename,
        "device": entry.device,
        "sha256": entry.sha256,
        "properties": {
            name: values[0] if len(values) == 1 else list(values) for name, values in entry.properties.items()
        },
    }
