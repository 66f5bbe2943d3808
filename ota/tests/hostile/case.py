"""What a row of the table of hostile packages is: a package that no device may install, and why.

All of them are signed by the key that the device trusts, unless a row says otherwise: a careless or hostile
vendor, or a build machine that somebody else commands. The devices are those of `ota/tests/devices.py`:

    /dev/mmcblk0p2  the running slot          /dev/mmcblk0p4  a file system (ext4) of 8 MiB
    /dev/mmcblk0p3  the slot to write, 4 MiB  /mnt/app        where files go; all else in /mnt is not theirs
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RUNNING: Final = "/dev/mmcblk0p2"
SLOT: Final = "/dev/mmcblk0p3"
SLOT_SIZE: Final = 4 << 20  # bytes
DATA: Final = "/dev/mmcblk0p4"
DISK: Final = "/dev/mmcblk0"
APP: Final = "/mnt/app"

PAYLOAD: Final = bytes(range(251)) * 40

Members = Mapping[str, bytes]


class Stock(StrEnum):
    """What stock SWUpdate does with it; the worst that can be said comes last."""

    REFUSES = "refuses it"
    SPOILS = "refuses it half way, the target is spoilt"
    NOTHING = "reports success, and did nothing"
    INSTALLS = "installs it"
    OUTSIDE = "writes where it should not"
    RUNNING = "overwrites the running slot"
    CHANCE = "refuses it or crashes"  # by memory that it never set
    CRASHES = "crashes"
    HANGS = "does not end"


class When(StrEnum):
    """When ours refuses it, which is what is left of it."""

    FIRST = "before anything is written"
    MARKED = "before the target is written; the boot environment says that an update failed"
    SPOILT = "while it is written; the boot environment says that an update failed"


@dataclass(frozen=True, slots=True)
class Package:
    """What is packed.

    Args:
        text: a whole sw-description, or what stands in its group `software` beside version and hardware.
            `"@NAME"` becomes the sha256 of the member; lone surrogates become bytes that are not UTF-8.
    """

    text: str
    members: Members


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    Args:
        make: the package; large ones are made when they are needed.
        code: of our refusal.
        late: why it can be refused no earlier; empty if it is refused first.
        prepare: shell commands that make the device what it has to be.
        settings: lines of device.toml.
        options: of both command lines.
        key: both devices have the AES key.
    """

    name: str
    make: Callable[[], Package]
    code: str
    stock: Stock
    when: When = When.FIRST
    late: str = ""
    prepare: str = ""
    settings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    key: bool = False


def package(text: str, **members: bytes) -> Callable[[], Package]:
    """A small package; member `a` is there unless told otherwise."""
    return lambda: Package(text, members or {"a": PAYLOAD})


def entry(more: str = "", *, kind: str = "raw", name: str = "a") -> str:
    """One element of a section; `more` is the rest of its attributes."""
    return f'{{ filename = "{name}"; sha256 = "@{name}"; type = "{kind}"; {more} }}'


def raw(more: str = "", *, kind: str = "raw", device: str = SLOT, name: str = "a") -> str:
    """One element that goes to a device."""
    return entry(f'device = "{device}"; {more}', kind=kind, name=name)


def image(more: str = "", *, kind: str = "raw", device: str = SLOT) -> str:
    """A section of one image in member `a`."""
    return f"images: ( {raw(more, kind=kind, device=device)} );"


def file(more: str = "", *, kind: str = "rawfile", path: str = f"{APP}/file") -> str:
    """A section of one file in member `a`."""
    element = entry(f'path = "{path}"; {more}', kind=kind)
    return f"files: ( {element} );"


def script(kind: str = "preinstall", more: str = "") -> str:
    """A section of one script in member `a`, and an image behind it in member `b`."""
    return f"scripts: ( {entry(more, kind=kind)} ); images: ( {raw(name='b')} );"


def in_json(**more: object) -> str:
    """A sw-description in JSON with one image; `more` is added to that, or takes the place of what it has."""
    element = {"filename": "a", "sha256": "@a", "type": "raw", "device": SLOT, **more}
    software = {"version": "1.0", "hardware-compatibility": ["1.0"], "images": [element]}
    return json.dumps({"software": software})
