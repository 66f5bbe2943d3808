"""The order of versions, as SWUpdate has it, and the file of those that are installed.

Two versions are compared as up to four numbers below 65536 where both are made of digits and dots; else as
semantic versions (semver.org, loosely: fields may be absent); else byte by byte (swupdate: doc/source/
sw-description.rst, "Checking version of installed software"; core/artifacts_versions.c).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

MAX_FILE: Final = 1 << 20  # bytes of a sw-versions file
_MAX_FIELD: Final = 0xFFFF
_FIELDS: Final = 4

_NUMBERS: Final = re.compile(r"[0-9.]*")
_SEMANTIC: Final = re.compile(
    r"(?P<core>[0-9]*(?:\.[0-9]*)*)(?:-(?P<pre>[0-9A-Za-z.-]*))?(?:\+[0-9A-Za-z.+-]*)?"
)

Order = tuple[Any, ...]
"""Compares as the version does; Any: a pre-release mixes numbers and words."""


def compare(left: str, right: str) -> int:
    """Negative, zero or positive where `left` is lower than, equal to or higher than `right`."""
    for read in (_numbers, _semantic):
        first, second = read(left), read(right)
        if first is not None and second is not None:
            return (first > second) - (first < second)
    return (left.encode() > right.encode()) - (left.encode() < right.encode())


def read_installed(path: Path) -> dict[str, str]:
    """Name -> version of what is installed: pairs of words; no file, nothing known.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            words = file.read(MAX_FILE).decode(errors="replace").split()
    except FileNotFoundError:
        return {}
    return dict(zip(words[::2], words[1::2], strict=False))


def render_installed(versions: dict[str, str]) -> bytes:
    """The same as a file."""
    return "".join(f"{name}\t\t{version}\n" for name, version in versions.items()).encode()


def _numbers(text: str) -> Order | None:
    """ "1..2" is 1.2."""
    if not _NUMBERS.fullmatch(text):
        return None
    fields = _fields(".".join(filter(None, text.split("."))))
    return fields if max(fields) <= _MAX_FIELD else None


def _semantic(text: str) -> Order | None:
    """Three numbers, then the pre-release; a version without one is higher than any that has one."""
    match = _SEMANTIC.fullmatch(text)
    if match is None:
        return None
    pre = match["pre"]
    if pre is None:
        return _fields(match["core"])[:3], (1,)
    return _fields(match["core"])[:3], (0, *(_identifier(word) for word in pre.split(".")))


def _identifier(word: str) -> Order:
    """Of a pre-release: numbers are lower than words (semver.org, 11.4)."""
    return (0, int(word)) if word.isascii() and word.isdigit() else (1, word)


def _fields(text: str) -> tuple[int, ...]:
    """The first four, absent ones zero."""
    fields = [int(field or 0) for field in text.split(".")[:_FIELDS]]
    return tuple(fields + [0] * (_FIELDS - len(fields)))
