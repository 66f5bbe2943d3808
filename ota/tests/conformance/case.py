"""What a row of the conformance table is: one package, and how both programs fare with it on equal devices.

The devices are those of `ota/tests/twins.py`. A row says what differs, and why; where it says nothing, both
install the package and leave the same behind, or both refuse it and leave everything as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Any, Final

import libconf

DISK: Final = "mmcblk0"
BLANK: Final = "sda"  # a second disk, all zero
FOLDER: Final = "folder"  # /mnt
BOOT: Final = "boot"  # the variables of U-Boot's environment
VERSIONS: Final = "sw-versions"

DISK_SIZE: Final = 20 << 20  # bytes, of each disk
SLOT: Final = "/dev/mmcblk0p3"
SLOT_SIZE: Final = 4 << 20  # bytes
# AES-256 key and initial vector, as in the file for `swupdate -K`.
KEY: Final = f"{'0123456789abcdef' * 4} {'fedcba9876543210' * 2}\n"


@dataclass(frozen=True, slots=True)
class Partition:
    """One of the disk."""

    node: str
    name: str
    start: int  # bytes
    stop: int
    type: str
    uuid: str

    @property
    def size(self) -> int:
        return self.stop - self.start


def _partition(number: int, name: str, start: int, stop: int, kind: str) -> Partition:
    """Start and stop are in MiB."""
    uuid = f"{str(number) * 8}-{str(number) * 4}-4111-8111-{str(number) * 12}"
    return Partition(f"{DISK}p{number}", name, start << 20, stop << 20, kind, uuid)


ESP: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX: Final = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
PARTITIONS: Final = (
    _partition(1, "boot", 1, 3, ESP),  # vfat
    _partition(2, "rootfs-a", 3, 7, LINUX),  # the running slot
    _partition(3, "rootfs-b", 7, 11, LINUX),  # the slot to write
    _partition(4, "data", 11, 19, LINUX),  # ext4
)

DATA: Final = Random(7).randbytes(300_001)  # what most rows install: no multiple of any block
TEXT: Final = b"a line that compresses well\n" * 5000


Rest = Any  # further fields of a `Case`, which a function of some rows passes on


class Stock(StrEnum):
    """How SWUpdate fares."""

    INSTALLED = "installed"
    REFUSED = "refused"
    CRASHES = "crashes"
    HANGS = "hangs"


class Environment(StrEnum):
    """How U-Boot's variables lie in a file."""

    REDUNDANT = "two copies"
    SINGLE = "one copy"
    NAMESPACES = "two namespaces"  # libubootenv's YAML: `uboot` and `app`
    NONE = "none"  # stock keeps them in memory


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    Args:
        text: a whole sw-description, or what stands in its group `software` beside version and hardware.
            `@NAME` in quotes becomes the sha256 of the member.
        code: of our refusal; None: it is installed.
        reason: why we do otherwise than stock; a row that needs none has none.
        changes: what stock's installation changes beside boot variables.
        differs: what is not the same afterwards; where we alone refuse it: what is not as it was.
        twin: what stock installs where it refuses `text`; ours has to come to the same.
        options: of both command lines.
        trees: partitions with file systems, compared file by file.
        masks: (device, start, stop, what they are): bytes that are not compared.
        installed: name -> version of what the device knows as installed.
        key: both have the AES key.
        blank: there is a second disk, all zero.
        generator: swugenerator makes the package; it adds sha256, and compresses.
        delta: an image: its .zck is published beside the device, its header is the member `a`.
    """

    group: str
    name: str
    text: str
    members: Mapping[str, bytes] = field(default_factory=lambda: {"a": DATA})
    stock: Stock = Stock.INSTALLED
    code: str | None = None
    reason: str = ""
    changes: tuple[str, ...] = (DISK,)
    differs: tuple[str, ...] = ()
    twin: str = ""
    options: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    masks: tuple[tuple[str, int, int, str], ...] = ()
    installed: Mapping[str, str] = field(default_factory=dict)
    environment: Environment = Environment.REDUNDANT
    key: bool = False
    blank: bool = False
    generator: bool = False
    delta: bytes | None = None

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


def whole(text: str) -> str:
    """The sw-description that a row's text stands for."""
    if text.lstrip().startswith(("software", "firmware", "{")):
        return text
    return f'software = {{ version = "1.0"; hardware-compatibility: [ "1.0" ]; {text} }};'


def in_json(case: Case) -> Case:
    """The same row with its sw-description in JSON."""
    tree = libconf.loads(whole(case.text))
    return replace(case, name=f"{case.name}, JSON", text=json.dumps(tree, indent=1))


def noise(seed: str, size: int) -> bytes:
    """The same bytes for the same seed, on every machine: what slots hold at first."""
    return hashlib.shake_128(seed.encode()).digest(size)


def image(more: str = "", name: str = "a", device: str = SLOT) -> str:
    """One image of type raw."""
    return f'{{ filename = "{name}"; sha256 = "@{name}"; type = "raw"; device = "{device}"; {more} }}'


def images(*elements: str) -> str:
    """A section of them."""
    return f"images: ( {', '.join(elements)} );"
