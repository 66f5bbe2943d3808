"""A folder of packages, such as a USB stick: of those that are for this device, the highest version."""

from __future__ import annotations

import logging
import os
from contextlib import closing
from functools import cmp_to_key
from pathlib import Path
from typing import Final

from ota import decision
from ota.device import Device
from ota.errors import ConfigError, TrustError, UpdateError
from ota.formats import versions
from ota.formats.selection import Selection
from ota.package import Package, open_package

MAX_PACKAGES: Final = 100  # each takes a signature check; more are not put on a stick by intention
MAX_NAMES: Final = 10_000  # in the folder

_SUFFIX: Final = ".swu"

_log = logging.getLogger(__name__)


def choose(folder: Path, device: Device, chosen: Selection | None) -> Path:
    """The package to install; why each of the others is not for this device is logged.

    Args:
        chosen: as for `decision.decide`.

    Raises:
        UpdateError: "folder-empty": no package is for this device.
        ConfigError: "file-missing": the folder cannot be read; "config-value": it holds too much.
        TrustError: "certificate": what this device trusts cannot be used.
    """
    found: dict[Path, str] = {}
    refused: list[str] = []
    for path in _packages(folder):
        try:
            found[path] = _version(path, device, chosen)
        except (UpdateError, TrustError, ConfigError) as error:
            if error.code == "certificate":
                raise
            _log.info("%s is skipped: %s", path.name, error)
            refused.append(f"{path.name}: {error.code}")
    if not found:
        raise UpdateError(
            "folder-empty",
            f"{folder} has no package for this device",
            expected=f"a *{_SUFFIX}",
            found=", ".join(refused) or "none",
        )
    best = max(found, key=lambda path: cmp_to_key(versions.compare)(found[path]))  # of equals the first
    for path, version in found.items():
        if path != best:
            _log.info("%s is skipped: version %s, and %s has %s", path.name, version, best.name, found[best])
    _log.info("%s is chosen: version %s", best.name, found[best])
    return best


def _packages(folder: Path) -> list[Path]:
    """By name. What FAT makes of names is taken as well."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MAX_NAMES + 1), strict=False)]
    except OSError as error:
        raise ConfigError("file-missing", f"{folder} cannot be read: {error.strerror}") from error
    packages = sorted(name for name in names if name.lower().endswith(_SUFFIX))
    for what, limit, count in (("names", MAX_NAMES, len(names)), ("packages", MAX_PACKAGES, len(packages))):
        if count > limit:
            raise ConfigError(
                "config-value", f"{folder} holds too many {what}", expected=f"<= {limit}", found=count
            )
    return [folder / name for name in packages]


def _version(path: Path, device: Device, chosen: Selection | None) -> str:
    if not path.is_file():  # a pipe would have us wait
        raise ConfigError("file-missing", f"{path} is not a file")
    with closing(Package(open_package(path), device.config.state_dir)) as package:
        return decision.examine(package, device, chosen).description.version
