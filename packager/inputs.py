"""Files that a release names: there, readable and not empty, before anything is built."""

from __future__ import annotations

import os
from pathlib import Path

from ota.errors import ConfigError
from ota.settings import Table


def image(table: Table, key: str) -> Path:
    """The image that `key` names.

    Raises:
        ConfigError: "file-missing", or "release-content" where there is nothing in it.
    """
    path = existing(table.file(key), f"{table.path}: {key}")
    if path.stat().st_size == 0:
        raise ConfigError("release-content", f"{table.path}: {key} {path} is empty")
    return path


def existing(path: Path, what: str) -> Path:
    """`path`, if it is a file that can be read.

    Raises:
        ConfigError: "file-missing".
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else None
        raise ConfigError("file-missing", f"{what}: there is no file {path}", found=found)
    if not os.access(path, os.R_OK):
        raise ConfigError("file-missing", f"{what}: {path} cannot be read: permission denied")
    return path
