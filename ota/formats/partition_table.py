"""Partition tables, and how sfdisk(8) of util-linux is told them and tells them.

It prints them as JSON, and with --no-act as text what a disk would become; it takes a script: header lines
that speak of the table as a whole, then one line for each partition ("Input formats"). Units are the disk's
sectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ota.errors import DeviceError

GPT: Final = "gpt"
DOS: Final = "dos"

# A key of the JSON -> the script's header line. What is not told, sfdisk makes anew.
_HEADERS: Final = {
    "id": "label-id",
    "firstlba": "first-lba",
    "lastlba": "last-lba",
    "table-length": "table-length",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """An entry of a table. What its kind of table does not know is empty."""

    number: int  # from 1
    start: int  # sectors
    size: int  # sectors
    type: str  # GPT: a GUID in upper case; DOS: two hex digits in lower case
    name: str = ""
    uuid: str = ""  # in upper case; empty: a random one
    attributes: str = ""  # in sfdisk's words
    bootable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A disk's partition table."""

    label: str  # GPT, DOS, or another word of sfdisk's
    partitions: tuple[Partition, ...]
    sector: int  # bytes
    headers: Mapping[str, str]  # header lines beside the label

    def named(self, name: str) -> Partition:
        """The one partition of that name.

        Raises:
            DeviceError: "partition-missing".
        """
        found = [partition for partition in self.partitions if partition.name == name]
        if len(found) != 1:
            known = ", ".join(partition.name for partition in self.partitions)
            raise DeviceError(
                "partition-missing",
                f"{len(found)} partitions have the name {name!r}",
                expected="one",
                found=f"names {known}",
            )
        return found[0]


@dataclass(frozen=True, slots=True)
class Wish:
    """A partition that is asked for; where it lies is libfdisk's choice, as far as it is left open."""

    number: int
    type: str
    start: int | None = None  # sectors; None: behind the ones before it
    size: int | None = None  # bytes; None: what is free
    is_exact: bool = False  # else its end is aligned
    name: str = ""
    uuid: str = ""
    bootable: bool = False


def same(left: Table | None, right: Table | None) -> bool:
    """Whether one need not be written over the other: all but attributes, and UUIDs that are open."""
    if left is None or right is None:
        return left is right
    return left.label == right.label and _comparable(left, right) == _comparable(right, left)


def parse(text: str) -> Table:
    """Read what `sfdisk --json` prints; warnings may stand around it.

    Raises:
        ValueError: there is no table in it.
    """
    found, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    table = found["partitiontable"]
    return Table(
        label=table["label"],
        partitions=tuple(_partition(entry, table["label"]) for entry in table.get("partitions", [])),
        sector=table["sectorsize"],
        headers={header: str(table[key]) for key, header in _HEADERS.items() if key in table},
    )


def parse_places(text: str) -> dict[int, tuple[int, int]]:
    """Number -> start and size of what `sfdisk --no-act --output device,start,sectors` foresees."""
    _, _, new = text.partition("\nNew situation:")
    rows = re.findall(r"^/.*[^0-9]([0-9]+) +([0-9]+) +([0-9]+)$", new, re.MULTILINE)
    return {int(number): (int(start), int(size)) for number, start, size in rows}


def render(table: Table) -> str:
    """A script that makes this very table."""
    lines = (
        _line(partition, f"start={partition.start}, size={partition.size}")
        for partition in sorted(table.partitions, key=lambda partition: partition.number)
    )
    return _script(table.label, table.headers, lines)


def render_wishes(label: str, wishes: Sequence[Wish], sector: int, headers: Mapping[str, str]) -> str:
    """A script that leaves open what the wishes leave open."""
    return _script(label, headers, (_line(wish, _place(wish, sector)) for wish in wishes))


def _comparable(table: Table, other: Table) -> list[Partition]:
    """By number; a UUID counts where both have one."""
    known = {partition.number for partition in other.partitions if partition.uuid}
    return [
        replace(partition, attributes="", uuid=partition.uuid if partition.number in known else "")
        for partition in sorted(table.partitions, key=lambda partition: partition.number)
    ]


def _partition(entry: Mapping[str, str | int | bool], label: str) -> Partition:
    number = re.search(r"[0-9]+$", str(entry["node"]))
    if not number:
        raise ValueError(entry["node"])
    kind = str(entry["type"])
    return Partition(
        number=int(number[0]),
        start=int(entry["start"]),
        size=int(entry["size"]),
        type=kind.zfill(2).lower() if label == DOS else kind.upper(),
        name=str(entry.get("name", "")),
        uuid=str(entry.get("uuid", "")).upper(),
        attributes=str(entry.get("attrs", "")),
        bootable=bool(entry.get("bootable")),
    )


def _script(label: str, headers: Mapping[str, str], lines: Iterable[str]) -> str:
    said = (f"{name}: {value}" for name, value in {"label": label, **headers}.items())
    return "\n".join([*said, *lines, ""])


def _place(wish: Wish, sector: int) -> str:
    """A size in sectors is taken as it is, one with a unit is aligned."""
    fields = [] if wish.start is None else [f"start={wish.start}"]
    if wish.size is not None:
        fields.append(f"size={wish.size // sector}" if wish.is_exact else f"size={wish.size >> 10}KiB")
    return ", ".join(fields)


def _line(entry: Wish | Partition, place: str) -> str:
    fields = [place] if place else []
    fields.append(f"type={entry.type}")
    if entry.uuid:
        fields.append(f"uuid={entry.uuid}")
    if entry.name:
        fields.append(f'name="{_quoted(entry.name)}"')
    if isinstance(entry, Partition) and entry.attributes:
        fields.append(f'attrs="{entry.attributes}"')
    if entry.bootable:
        fields.append("bootable")
    return f"{entry.number}: {', '.join(fields)}"


def _quoted(name: str) -> str:
    r"""As sfdisk itself dumps it: bytes that mean something to it are \xHH."""
    special = re.compile(rb"[^A-Za-z0-9 ._+-]")
    return special.sub(lambda byte: b"\\x%02x" % ord(byte[0]), name.encode()).decode()
