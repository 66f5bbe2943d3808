"""Which earlier releases a release file names as bases: `[bases]` and `[[base]]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ota.errors import ConfigError
from ota.settings import Table
from packager import inputs


@dataclass(frozen=True, slots=True)
class Named:
    """One earlier release that is named; where nothing is said of its images, the catalogue knows them."""

    version: str
    folder: Path | None = None  # an output of `otapack build`
    images: Mapping[str, Path] | None = None  # image or .zck, by the image's name


@dataclass(frozen=True, slots=True)
class Earlier:
    """What there is to find bases by."""

    catalogue: str | None = None  # a folder, or s3://BUCKET/PREFIX
    published: Path | None = None  # where the .zck of the catalogue's releases lie
    keep: int | None = None  # of the catalogue's releases, the newest so many
    max_age_days: int | None = None  # of the catalogue's releases, no older ones
    named: tuple[Named, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no base is asked for."""
        return self.catalogue is None and not self.named


def read(table: Table, version: str) -> Earlier:
    """`[bases]` and `[[base]]` of the release file of this version.

    Raises:
        ConfigError: config-key, config-value, file-missing or release-content.
    """
    rules = table.table("bases")
    catalogue, published = rules.optional_text("catalogue"), rules.optional_file("published")
    if catalogue and "://" not in catalogue:
        catalogue = str(table.path.parent / catalogue)
    keep, days = (_count(rules, key) for key in ("keep", "max-age-days"))
    rules.done()
    if catalogue is None and (keep or days or published):
        raise ConfigError(
            "config-key", f"{table.path}: [bases]: keep, max-age-days and published are of a catalogue"
        )
    if published and not published.is_dir():
        raise ConfigError("file-missing", f"{table.path}: [bases] published: there is no folder {published}")
    named = tuple(map(_named, table.tables("base")))
    versions = [version, *(base.version for base in named)]
    for name in versions:
        if versions.count(name) > 1:
            raise ConfigError("release-content", f"{table.path}: two releases have version {name!r}")
    for base in named:
        if base.folder is None and base.images is None and catalogue is None:
            raise ConfigError(
                "config-key",
                f"{table.path}: where is base {base.version!r}?",
                expected="'folder' or 'images' in [[base]], or 'catalogue' in [bases]",
            )
    return Earlier(catalogue, published, keep, days, named)


def _count(table: Table, key: str) -> int | None:
    count = table.optional_integer(key)
    if count is not None and count < 1:
        raise ConfigError("config-value", f"{table.path}: {key}", expected="1 or more", found=count)
    return count


def _named(table: Table) -> Named:
    version, folder = inputs.name(table, "version"), table.optional_file("folder")
    files = {name: table.path.parent / file for name, file in table.mapping("images").items()}
    table.done()
    if folder and files:
        raise ConfigError(
            "config-key", f"{table.path}: base {version!r}", expected="folder or images", found="both"
        )
    if folder and not folder.is_dir():
        raise ConfigError("file-missing", f"{table.path}: base {version!r}: there is no folder {folder}")
    for file in files.values():
        inputs.existing(file, f"{table.path}: base {version!r}")
    return Named(version, folder, files or None)
