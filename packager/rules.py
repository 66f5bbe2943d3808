"""What entries of one type have to keep beyond the table: each rule returns what is wrong, or None.

Rules are of the handler's C file in SWUpdate, which finds out when it has begun to install.
"""

from __future__ import annotations

import re

from ota.formats.selection import Entry


def whole(entry: Entry) -> str | None:
    """Its payload is read more than once, so it is not streamed."""
    return "it cannot be installed-directly" if entry.installed_directly else None


def from_start(entry: Entry) -> str | None:
    """It begins where its device does."""
    return "offset means nothing to it" if entry.offset else None


def copy(entry: Entry) -> str | None:
    """Its chain says whether it goes to a device or to a path."""
    attribute = "device" if (entry.property("chain") or "raw") == "raw" else "path"
    return None if getattr(entry, attribute) else f"{attribute} is missing"


def diskpart(entry: Entry) -> str | None:
    """Flags of one kind of table do nothing in the other, and a table without partitions is none."""
    of_partitions = [values for name, values in entry.properties.items() if name.startswith("partition-")]
    fields = [value for values in of_partitions for value in values]
    hybrid = sum(value.startswith("dostype=") for value in fields)
    flags = sum(value.startswith("flag=") for value in fields)
    match entry.property("labeltype"):
        case "gpt" if flags:
            return "flag=boot is for labeltype dos"
        case "gpt" if hybrid > 3:
            return "more than three partitions have a dostype"
        case "dos" if hybrid:
            return "dostype is for labeltype gpt"
        case "dos" if flags > 1:
            return "more than one partition has flag=boot"
        case "gpt" | "dos":
            return None if of_partitions else "there is no partition-1"
    return "labeltype is neither gpt nor dos"


def gptswap(entry: Entry) -> str | None:
    """Pairs of names, numbered from 0: SWUpdate ends at the first gap."""
    swaps = {name: len(values) for name, values in entry.properties.items() if name.startswith("swap-")}
    if not swaps or set(swaps) != {f"swap-{number}" for number in range(len(swaps))}:
        return "its swaps are not swap-0, swap-1 and so on"
    return None if set(swaps.values()) == {2} else "a swap does not name two partitions"


def emmc_boot(entry: Entry) -> str | None:
    """Its device says which partition boots."""
    return None if re.fullmatch(".*boot[01]", entry.device or "") else "device does not end in boot0 or boot1"
