"""The partitions that an entry of `type` diskpart asks for.

Properties (swupdate: doc/source/handlers.rst, "Disk partitioner"): `labeltype`; `nolock`; `noinuse`;
`partition-N`, a list of key=value: size, start, name, type, dostype, fstype, fslabel, partuuid, flag, force.
What stock SWUpdate would ignore of these, or take for zero, is refused: something else was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from ota.errors import UpdateError
from ota.formats.partition_table import DOS, GPT, Wish
from ota.formats.selection import Entry
from ota.io import filesystems
from ota.io.filesystems import Filesystem

MAX_NUMBER: Final = 128  # entries that a GPT has, unless it was made otherwise
_MAX_NAME: Final = 36  # UTF-16 units (UEFI 2.10, table 5.6)
_MAX_HYBRID: Final = 3  # of four entries one is the GPT's own

_KEYS: Final = frozenset(
    {"size", "start", "name", "type", "dostype", "fstype", "fslabel", "partuuid", "flag", "force"}
)
_LINUX: Final = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"  # what a GPT's partition is where no type is given
_GUID: Final = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)
_SIZE: Final = re.compile(r"([0-9]{1,18})(?:([KMG])(?:iB?|B)?)?", re.IGNORECASE)
_UNIT: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Format:
    """A partition that gets a file system."""

    number: int
    wanted: Filesystem
    force: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """What the properties say."""

    label: str
    wishes: tuple[Wish, ...]  # by number
    hybrid: Mapping[int, str]  # number -> type of its twin in the DOS table beside a GPT
    formats: tuple[Format, ...]
    lock: bool
    may_be_in_use: bool


def parse(entry: Entry) -> Layout:
    """Read an entry's properties.

    Raises:
        UpdateError: "description-content".
    """
    label = entry.property("labeltype")
    if label not in (GPT, DOS):
        _refuse(f"{entry.label}: labeltype", f"{GPT} or {DOS}", label)
    given = _given(entry)
    hybrid = [number for number, fields in given.items() if "dostype" in fields]
    if hybrid and (label != GPT or len(hybrid) > _MAX_HYBRID):
        _refuse(f"{entry.label}: dostype", f"at most {_MAX_HYBRID}, beside {GPT}", f"{len(hybrid)}, {label}")
    flagged = [number for number, fields in given.items() if "flag" in fields]
    if flagged and (label != DOS or len(flagged) > 1):
        _refuse(f"{entry.label}: flag", f"at most one, beside {DOS}", f"{len(flagged)}, {label}")
    where = f"{entry.label}: partition-"
    return Layout(
        label=label,
        wishes=tuple(_wish(number, fields, label, f"{where}{number}") for number, fields in given.items()),
        hybrid={number: _code(given[number]["dostype"], f"{where}{number}") for number in hybrid},
        formats=tuple(
            _format(number, fields, f"{where}{number}")
            for number, fields in given.items()
            if "fstype" in fields
        ),
        lock=not entry.flag("nolock"),
        may_be_in_use=entry.flag("noinuse"),
    )


def _given(entry: Entry) -> dict[int, dict[str, str]]:
    """Number -> fields of each partition, by number."""
    given: dict[int, dict[str, str]] = {}
    for name, pairs in entry.properties.items():
        if name.startswith("partition-"):
            digits = name.removeprefix("partition-")
            number = int(digits) if re.fullmatch("[0-9]{1,3}", digits) else 0
            if not 1 <= number <= MAX_NUMBER or number in given or not pairs:
                _refuse(
                    f"{entry.label}: {name}", f"each number once, from 1 to {MAX_NUMBER}, and fields", digits
                )
            given[number] = _fields(pairs, f"{entry.label}: {name}")
    if not given:
        _refuse(entry.label, "partition-1 and so on", "no partition")
    return dict(sorted(given.items()))


def _fields(pairs: Sequence[str], where: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in _KEYS or key in fields or not (value or key == "name"):
            _refuse(where, "key=value, each once, of " + ", ".join(sorted(_KEYS)), pair)
        fields[key] = value
    return fields


def _format(number: int, fields: Mapping[str, str], where: str) -> Format:
    force = fields.get("force", "false").lower()
    if force not in ("true", "false"):
        _refuse(f"{where}: force", "true or false", force)
    wanted = filesystems.described(fields["fstype"], fields.get("fslabel"), where)
    return Format(number, wanted, force == "true")


def _wish(number: int, fields: Mapping[str, str], label: str, where: str) -> Wish:
    if fields.get("flag", "boot") != "boot":
        _refuse(f"{where}: flag", "boot", fields["flag"])
    size, has_unit = _size(fields["size"], where) if "size" in fields else (None, True)
    start = fields.get("start")
    if start is not None and not re.fullmatch("[0-9]{1,18}", start):
        _refuse(f"{where}: start", "a number of sectors", start)
    return Wish(
        number=number,
        type=_guid(fields.get("type", _LINUX), where) if label == GPT else _code(fields.get("type"), where),
        start=None if start is None else int(start),
        size=size,
        is_exact=not has_unit,
        name=_name(fields.get("name", ""), where) if label == GPT else "",
        uuid=_guid(fields["partuuid"], where) if label == GPT and "partuuid" in fields else "",
        bootable="flag" in fields,
    )


def _size(text: str, where: str) -> tuple[int, bool]:
    """Bytes, and whether they were given in a unit: swupdate: core/util.c, ustrtoull."""
    match = _SIZE.fullmatch(text)
    if not match or not int(match[1]):
        _refuse(f"{where}: size", "bytes, or a number with K, M or G", text)
    return int(match[1]) * _UNIT[match[2].upper()] if match[2] else int(match[1]), bool(match[2])


def _name(text: str, where: str) -> str:
    if not text.isprintable() or len(text.encode("utf-16-le")) > 2 * _MAX_NAME:
        _refuse(f"{where}: name", f"at most {_MAX_NAME} printable characters", text)
    return text


def _guid(text: str, where: str) -> str:
    if not _GUID.fullmatch(text):
        _refuse(where, "a GUID", text)
    return text.upper()


def _code(text: str | None, where: str) -> str:
    """A type of a DOS table, in two hex digits."""
    if not text or not re.fullmatch("(?:0[xX])?[0-9a-fA-F]{1,2}", text) or not int(text, 16):
        _refuse(f"{where}: type", "a hex code from 1 to ff", text)
    return f"{int(text, 16):02x}"


def _refuse(where: str, expected: str, found: object) -> NoReturn:
    raise UpdateError("description-content", where, expected=expected, found=found)
