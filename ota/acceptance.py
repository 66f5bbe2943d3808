"""[versions] of device.toml: which versions of the software this device takes, by the type of the update.

The rules are SWUpdate's `-N`, `-R` and `--max-version`, and its `update-types` (swupdate: doc/source/
swupdate.rst; examples/configuration/swupdate.cfg).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from ota.errors import ConfigError, UpdateError
from ota.formats import versions
from ota.settings import Table

if TYPE_CHECKING:
    from ota.formats.selection import Description

SW_VERSIONS: Final = "/etc/sw-versions"


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one type of update; what is None is not asked."""

    no_downgrading: str | None = None  # nothing lower than this
    no_reinstalling: str | None = None  # not this very one
    max_version: str | None = None  # nothing higher than this

    def or_else(self, other: Self) -> Self:
        """These rules, and the other's where these say nothing."""
        return replace(
            self,
            no_downgrading=self.no_downgrading or other.no_downgrading,
            no_reinstalling=self.no_reinstalling or other.no_reinstalling,
            max_version=self.max_version or other.max_version,
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What need not be installed: at boot, where nobody asked for this very package."""

    packages: Mapping[str, str] = field(default_factory=dict)  # sha256 of the sw-description -> why not
    versions: Mapping[str, str] = field(default_factory=dict)  # version -> why not
    running: str | None = None  # the version that runs: only a higher one is new

    def why_not(self, package: str, version: str) -> str | None:
        """None where a package is new."""
        if reason := self.packages.get(package) or self.versions.get(version):
            return reason
        if self.running and versions.compare(version, self.running) <= 0:
            return f"{self.running} runs"
        return None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What this device takes, and where it is written what it has."""

    sw_versions: Path = Path(SW_VERSIONS)  # "name version" lines: of the parts of the software that run
    record: Path | None = None  # the same, written when an update was installed
    rules: Rules = field(default_factory=Rules)
    types: Mapping[str, Rules] = field(default_factory=dict)  # of updates that name their type
    type_required: bool = False
    known: Known = field(default_factory=Known)


def parse(table: Table) -> Acceptance:
    """Read [versions].

    Raises:
        ConfigError: naming file and key.
    """
    acceptance = Acceptance(
        sw_versions=table.file("installed", SW_VERSIONS),
        record=table.optional_file("record"),
        rules=_rules(table),
        types={name: _type(values) for name, values in table.named_tables("types")},
        type_required=table.flag("type_required", False),
    )
    table.done()
    return acceptance


def check(description: Description, package: str, acceptance: Acceptance) -> None:
    """Refuse what is not wanted here.

    Args:
        package: sha256 of the sw-description.

    Raises:
        UpdateError: "update-type", "version-refused", "package-known".
    """
    rules = _rules_for(description.update_type, acceptance)
    version = description.version
    if rules.no_downgrading and versions.compare(version, rules.no_downgrading) < 0:
        raise _refused(version, f">= {rules.no_downgrading}")
    if rules.max_version and versions.compare(version, rules.max_version) > 0:
        raise _refused(version, f"<= {rules.max_version}")
    if version == rules.no_reinstalling:
        raise _refused(version, "another version")
    if reason := acceptance.known.why_not(package, version):
        raise UpdateError("package-known", f"{version} is not new to this device: {reason}")


def installed(acceptance: Acceptance) -> dict[str, str]:
    """Name -> version of the parts of the software that run.

    Raises:
        ConfigError: "file-missing": the file is there, and cannot be read.
    """
    path = acceptance.sw_versions
    try:
        return versions.read_installed(path)
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error


def _rules_for(update_type: str | None, acceptance: Acceptance) -> Rules:
    types = acceptance.types
    if update_type and update_type in types:
        return types[update_type]
    if update_type or acceptance.type_required:
        raise UpdateError(
            "update-type",
            "the update's type is not one that this device takes",
            expected=", ".join(types) or "no update-type",
            found=update_type or "none",
        )
    return acceptance.rules


def _refused(version: str, expected: str) -> UpdateError:
    return UpdateError(
        "version-refused", "this device does not take this version", expected=expected, found=version
    )


def _type(table: Table) -> Rules:
    rules = _rules(table)
    table.done()
    return rules


def _rules(table: Table) -> Rules:
    return Rules(
        no_downgrading=table.optional_text("no_downgrading"),
        no_reinstalling=table.optional_text("no_reinstalling"),
        max_version=table.optional_text("max_version"),
    )
