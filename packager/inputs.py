"""What a release file names: files that are there and readable, and names that fit everywhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from ota.settings import Table

MAX_NAME: Final = 64  # characters; file names are made of two of them and stay far below 255

# What every file system, URL, object store and shell takes as it is.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def name(table: Table, key: str, default: str | None = None) -> str:
    """The name or version that `key` gives.

    Raises:
        ConfigError: "config-key" or "config-value".
    """
    text = table.text(key, default)
    if len(text) > MAX_NAME or not _NAME.fullmatch(text):
        raise ConfigError(
            "config-value",
            f"{table.path}: {key} is wrong",
            expected=f"at most {MAX_NAME} of A-Z a-z 0-9 . _ -, a letter or digit first",
            found=repr(text),
        )
    return text


def file(table: Table, key: str) -> Path:
    """The file that `key` names; it may be empty.

    Raises:
        ConfigError: "file-missing".
    """
    return existing(table.file(key), f"{table.path}: {key}")


def optional_file(table: Table, key: str) -> Path | None:
    """The file that `key` names, if it does.

    Raises:
        ConfigError: "file-missing".
    """
    path = table.optional_file(key)
    return path and existing(path, f"{table.path}: {key}")


def image(table: Table, key: str) -> Path:
    """The image that `key` names.

    Raises:
        ConfigError: "file-missing", or "release-content" where there is nothing in it.
    """
    path = file(table, key)
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
