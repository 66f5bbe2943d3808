"""The one table of types: where an entry of each may stand, who builds its payload, and what it may say.

Sections, attributes and properties are SWUpdate's (its handlers.rst and sw-description.rst; where these are
silent, the handler's C file). It passes over a property or attribute that it does not know without a word;
what a release file says in vain is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ota.errors import UpdateError
from ota.formats import features
from ota.formats.selection import Entry, Section, may_stand
from packager import rules
from packager.builders import delta, raw, rdiff_file, rdiff_image, stored
from packager.interfaces import Builder

_IMAGE: Final = frozenset({Section.IMAGES})
_FILE: Final = frozenset({Section.FILES})
_SCRIPT: Final = frozenset({Section.SCRIPTS})
_PARTITION: Final = frozenset({Section.PARTITIONS})

_ANY: Final = ".*"
_FLAG: Final = "true|false"  # of other words SWUpdate makes false
_NUMBER: Final = "0|[1-9][0-9]*"
_LENGTH: Final = "[0-9]+[KMG]?"
_CREATE: Final = {"create-destination": _FLAG}
_LOCKS: Final = {"nolock": _FLAG, "noinuse": _FLAG}
_DISK_FIELD: Final = (
    rf"size={_LENGTH}|start=[0-9]+|(name|type|dostype|fstype|fslabel|partuuid)=.+|flag=boot|force=({_FLAG})"
)


@dataclass(frozen=True, slots=True)
class Row:
    """What an entry of one type is.

    Attributes of an entry are written as in the sw-description; name, version and the like fit any type.
    """

    sections: frozenset[Section]
    builder: Builder | None = None  # None: there is no payload
    needs: tuple[str, ...] = ()  # attributes
    takes: tuple[str, ...] = ()  # further attributes
    requires: tuple[str, ...] = ()  # properties
    properties: Mapping[str, str] = field(default_factory=dict)  # pattern of names -> pattern of each value
    made: tuple[str, ...] = ()  # properties that the builder writes
    base: str | None = None  # of these, the one that names the running slot
    has_place: bool = False  # it overwrites a place, which no other entry may
    rule: Callable[[Entry], str | None] = lambda _: None  # what else is wrong with it

    @property
    def is_for_slots(self) -> bool:
        """Whether it goes to the slot that does not run, where it names no device."""
        return self.base is not None or self.builder is raw


_RAWFILE: Final = ("device", "filesystem", "installed-directly")
_ARCHIVE: Final = Row(
    _IMAGE | _FILE, stored, ("path",), (*_RAWFILE, "preserve-attributes"), properties=_CREATE
)  # fmt: skip
_BOOTLOADER: Final = Row(_IMAGE, stored, properties={"nooverride": _FLAG})
_SHELL: Final = Row(_SCRIPT, stored, takes=("data",))
_COPY: Final = Row(
    _SCRIPT,
    takes=("device", "path", "offset", "filesystem"),
    requires=("copyfrom",),
    properties={
        "copyfrom": _ANY, "size": f"{_LENGTH}|detect", "chain": "raw|rawfile|archive|tar",
        "recursive": _FLAG, "type": "preinstall|postinstall", **_CREATE,
    },
    has_place=True,
    rule=rules.copy,
)  # fmt: skip

TYPES: Final[dict[str, Row]] = {
    "archive": _ARCHIVE,
    "bootloader": _BOOTLOADER,
    "copy": _COPY,
    "delta": Row(
        _IMAGE | _FILE, delta, ("device",), requires=("url", "source", "chain"),
        properties={
            "source": _ANY, "source-size": f"{_LENGTH}|detect", "max-ranges": _NUMBER, "debug-chunks": _FLAG,
        },
        made=("url", "source", "chain", "zckloglevel"), base="source", has_place=True, rule=rules.whole,
    ),
    "diskformat": Row(
        _PARTITION, needs=("device",), requires=("fstype",),
        properties={"fstype": "vfat|ext[234]|btrfs", "force": _FLAG, "fslabel": _ANY}, has_place=True,
    ),
    "diskpart": Row(
        _PARTITION, needs=("device",), requires=("labeltype",),
        properties={"labeltype": "gpt|dos", "partition-[1-9][0-9]*": _DISK_FIELD, **_LOCKS},
        has_place=True, rule=rules.diskpart,
    ),
    "dummy": Row(frozenset(Section), stored, takes=("device", "installed-directly", "data")),
    "emmc_boot": Row(_SCRIPT, needs=("device",), rule=rules.emmc_boot),
    "emmc_boot_toggle": Row(_SCRIPT, needs=("device",)),
    "executor": Row(
        _IMAGE, stored, takes=("installed-directly",), requires=("cmd",),
        properties={"cmd": "/.+", "parms": _ANY},
    ),
    "gptpart": Row(
        _IMAGE, stored, ("device", "volume"), ("offset", "installed-directly"), properties=_LOCKS,
        has_place=True,
    ),
    "gptswap": Row(
        _SCRIPT, needs=("device",), properties={"swap-[0-9]+": ".+", **_LOCKS}, rule=rules.gptswap,
    ),
    "postinstall": _SHELL,
    "preinstall": _SHELL,
    "raw": Row(_IMAGE, raw, ("device",), ("offset", "installed-directly"), has_place=True),
    "rawcopy": _COPY,
    "rawfile": Row(
        _FILE, stored, ("path",), _RAWFILE, properties={"atomic-install": _FLAG, **_CREATE}, has_place=True,
    ),
    "rdiff_file": Row(_FILE, rdiff_file, ("path",), _RAWFILE, properties=_CREATE, has_place=True),
    "rdiff_image": Row(
        _IMAGE, rdiff_image, ("device",), ("installed-directly",), requires=("rdiffbase",),
        properties={"rdiffbase": _ANY}, made=("rdiffbase",), base="rdiffbase", has_place=True,
        rule=rules.from_start,
    ),
    "readback": Row(
        _SCRIPT, needs=("device",), requires=("sha256",),
        properties={"sha256": "[0-9a-fA-F]{64}", "size": _NUMBER, "offset": _NUMBER},
    ),
    "shellscript": _SHELL,
    "tar": _ARCHIVE,
    "toggleboot": Row(_SCRIPT, needs=("device",), requires=("partition",), properties={"partition": "[1-4]"}),
    "uboot": _BOOTLOADER,
    "uniqueuuid": Row(_PARTITION, needs=("device",), requires=("fs-uuid",), properties={"fs-uuid": ".+"}),
}  # fmt: skip
"""A type, and its row."""

_TARGETS: Final = (
    "device", "volume", "path", "filesystem", "offset", "installed-directly", "preserve-attributes", "data"
)  # fmt: skip


def check(entry: Entry, where: str) -> None:
    """Refuse what stock SWUpdate or our device refuses to install.

    Raises:
        UpdateError: "feature-absent", "description-type" or "description-content".
    """
    features.refuse_type(entry.type, where)
    known = TYPES.get(entry.type)
    if known is None:
        raise UpdateError("description-type", f"{where}: type", expected=", ".join(TYPES), found=entry.type)
    if not may_stand(entry.section, known.sections):
        raise UpdateError(
            "description-type",
            f"{where}: type {entry.type} has its place elsewhere",
            expected=" or ".join(sorted(known.sections)),
            found=str(entry.section),
        )
    fault = _missing(entry, known) or known.rule(entry)
    if fault:
        raise UpdateError("description-content", f"{where}, type {entry.type}: {fault}")


def said_in_vain(entry: Entry) -> str | None:
    """The first thing that an entry says and its handler would pass over; None if there is none."""
    known = TYPES[entry.type]
    for name in _TARGETS:
        if _attribute(entry, name) and name not in (*known.needs, *known.takes):
            return f"{name} means nothing to type {entry.type}"
    if "path" in known.needs and bool(entry.device) != bool(entry.filesystem):
        return "device and filesystem belong together: without both, nothing is mounted"
    for name, values in entry.properties.items():
        patterns = [value for pattern, value in known.properties.items() if re.fullmatch(pattern, name)]
        if not patterns:
            names = ", ".join(known.properties) or "none"
            return f"property {name} means nothing to type {entry.type}, which knows {names}"
        for value in values:
            if not re.fullmatch(patterns[0], value, re.DOTALL):
                return f"property {name}: {value!r} is not {patterns[0]}"
    return None


def place(entry: Entry) -> tuple[object, ...] | None:
    """Where an entry writes, for comparison with others; None where it has no place to itself."""
    if not TYPES[entry.type].has_place:
        return None
    return (entry.device, entry.volume, entry.path, entry.offset)


def _missing(entry: Entry, known: Row) -> str | None:
    """The first thing that an entry has to say and does not."""
    always = ("device",) if entry.section is Section.PARTITIONS else ()
    for name in (*known.needs, *always, *(("filename",) if known.builder else ())):
        if not _attribute(entry, name):
            return f"{name} is missing"
    for name in known.requires:
        if not entry.properties.get(name):
            return f"property {name} is missing"
    return None


def _attribute(entry: Entry, name: str) -> object:
    return getattr(entry, name.replace("-", "_"))
