"""The release file of an image, from bitbake's variables.

It runs inside bitbake, with the build host's Python (3.8 or later), so it imports nothing of otakit; what it
writes is read, and judged, by `otapack build`. `get` is `d.getVar`: the value of a variable, or None.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # scarthgap's bitbake cannot parse a library in which anything but functions can be called
    from collections.abc import Callable

    Get = Callable[[str], "str | None"]

# The variables that a release file is made of: the task depends on them. docs/yocto.md has the table.
VARIABLES = (
    "OTAKIT_NAME",
    "OTAKIT_VERSION",
    "OTAKIT_BOARD",
    "OTAKIT_CERTIFICATE",
    "OTAKIT_KEY",
    "OTAKIT_CHAIN",
    "OTAKIT_CA",
    "OTAKIT_IMAGE",
    "OTAKIT_FSTYPE",
    "OTAKIT_TYPE",
    "OTAKIT_URL",
    "OTAKIT_METHODS",
    "OTAKIT_BASES",
    "OTAKIT_MORE",
)

# Those that name a file: the task is run again when its content changes.
FILES = ("OTAKIT_BOARD", "OTAKIT_CERTIFICATE", "OTAKIT_KEY", "OTAKIT_CHAIN", "OTAKIT_CA", "OTAKIT_MORE")

_NEEDED = ("OTAKIT_BOARD", "OTAKIT_CERTIFICATE", "OTAKIT_KEY")

_NAMESPACE = uuid.UUID("7f4e4b3c-5d0a-5b8e-9a51-2d7f0c6b1e94")


def missing(get: Get) -> list[str]:
    """The variables that have no value and need one."""
    needed = [*_NEEDED, "OTAKIT_URL"] if get("OTAKIT_TYPE") == "delta" else _NEEDED
    return [name for name in needed if not get(name)]


def checksums(get: Get) -> str:
    """The files that the variables name, as a task's `file-checksums` takes them."""
    return " ".join(f"{get(name)}:True" for name in FILES if get(name))


def render(get: Get, more: str = "") -> str:
    """The release file.

    Args:
        get: a variable's value.
        more: further tables, as they are to stand at its end: the content of OTAKIT_MORE.
    """
    tables = [
        _table("", version=get("OTAKIT_VERSION"), name=get("OTAKIT_NAME"), board=get("OTAKIT_BOARD")),
        _table(
            "[sign]",
            certificate=get("OTAKIT_CERTIFICATE"),
            key=get("OTAKIT_KEY"),
            chain=get("OTAKIT_CHAIN"),
            ca=get("OTAKIT_CA"),
        ),
        _table("[bases]", catalogue=get("OTAKIT_BASES")),
        _table(
            "[[image]]",
            name=get("OTAKIT_IMAGE"),
            file=get("OTAKIT_IMAGE_FILE"),
            type=get("OTAKIT_TYPE"),
            url=get("OTAKIT_URL"),
            methods=(get("OTAKIT_METHODS") or "").split(),
        ),
        more,
    ]
    return "\n".join(filter(None, tables))


def identifier(name: str) -> str:
    """The UUID of an image's file system: the same in each release, another for another image."""
    return str(uuid.uuid5(_NAMESPACE, name))


def _table(head: str, **keys: str | list[str] | None) -> str:
    """A table of TOML with the keys that have a value; nothing where none has."""
    # JSON's strings and lists of them are TOML's, as long as they are not escaped to ASCII.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items() if value]
    return "".join([f"{head}\n" if head else "", *lines]) if lines else ""
