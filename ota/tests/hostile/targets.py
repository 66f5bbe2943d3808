"""Targets that are not a package's to write, names that are none, boot variables that are lines of others."""

from __future__ import annotations

import json
from typing import Final

from ota.tests.hostile.case import (
    DATA,
    DISK,
    PAYLOAD,
    RUNNING,
    SLOT,
    SLOT_SIZE,
    Case,
    Stock,
    image,
    in_json,
    package,
    raw,
)

_LINKED: Final = "mkdir -p /dev/disk/by-partlabel; ln -s ../../mmcblk0p2 /dev/disk/by-partlabel/rootfs-a; "
_LINKED_SLOT: Final = (
    "mkdir -p /dev/disk/by-partlabel; ln -s ../../mmcblk0p3 /dev/disk/by-partlabel/rootfs-b; "
)
_ALIAS: Final = "mknod /dev/alias b $(stat -c '0x%t 0x%T' /dev/{}); "
_MOUNTED: Final = f"mkdir /srv/data; mount -o ro {DATA} /srv/data; "


def _two(first: str, second: str) -> str:
    return f"images: ( {first}, {second} );"


_RUNNING: Final = (
    Case("the running slot", package(image(device=RUNNING)), "slot-running", Stock.RUNNING),
    Case(
        "the running slot by a longer path",
        package(image(device="/dev/../dev/./mmcblk0p2")),
        "slot-running",
        Stock.RUNNING,
    ),
    Case(
        "the running slot by its label",
        package(image(device="/dev/disk/by-partlabel/rootfs-a")),
        "slot-running",
        Stock.RUNNING,
        prepare=_LINKED,
    ),
    Case(
        "the running slot by a link of the vendor's",
        package(image(device="/srv/link")),
        "slot-running",
        Stock.RUNNING,
        prepare=f"ln -s {RUNNING} /srv/link",
    ),
    Case(
        "the running slot by another node",
        package(image(device="/dev/alias")),
        "slot-running",
        Stock.RUNNING,
        prepare=_ALIAS.format("mmcblk0p2"),
    ),
    Case(
        "the running slot, by a relative path",
        package(image(device="../dev/mmcblk0p2")),
        "slot-running",
        Stock.RUNNING,
    ),
    Case(
        "the disk that the running slot lies on",
        package(image(device=DISK), a=bytes(SLOT_SIZE)),
        "slot-running",
        Stock.RUNNING,
    ),
    Case(
        "the running slot, as an offset on its disk",
        package(image("offset = 3145728;", device=DISK)),
        "slot-running",
        Stock.RUNNING,
    ),
    Case(
        "a zchunk delta to the running slot",
        package(
            image(
                'properties: { url = "http://127.0.0.1:9/"; chain = "raw"; source = "/dev/mmcblk0p3"; };',
                kind="delta",
                device=RUNNING,
            )
        ),
        "slot-running",
        Stock.NOTHING,
    ),
    Case(
        "an rdiff delta to the running slot",
        package(
            image(f'properties: {{ rdiffbase = "{SLOT}"; }};', kind="rdiff_image", device=RUNNING),
            a=b"rs\x026\x05hello\0",
        ),
        "slot-running",
        Stock.RUNNING,
    ),
    Case(
        "a mounted partition", package(image(device=DATA)), "slot-mounted", Stock.INSTALLS, prepare=_MOUNTED
    ),
    Case(
        "a mounted partition by another node",
        package(image(device="/dev/alias")),
        "slot-mounted",
        Stock.INSTALLS,
        prepare=_MOUNTED + _ALIAS.format("mmcblk0p4"),
    ),
)

_PLACES: Final = (
    Case("two images for one device", package(_two(raw(), raw())), "target-doubled", Stock.INSTALLS),
    Case(
        "two images that overlap",
        package(_two(raw(), raw("offset = 4096;"))),
        "target-doubled",
        Stock.INSTALLS,
    ),
    Case(
        "two images for one device, once by its label",
        package(_two(raw(), raw(device="/dev/disk/by-partlabel/rootfs-b"))),
        "target-doubled",
        Stock.INSTALLS,
        prepare=_LINKED_SLOT,
    ),
    Case(
        "two images for one device, once by another node",
        package(_two(raw(), raw(device="/dev/alias"))),
        "target-doubled",
        Stock.INSTALLS,
        prepare=_ALIAS.format("mmcblk0p3"),
    ),
    Case(
        "an image for a partition and one for its disk",
        package(_two(raw(), raw("offset = 7340032;", device=DISK))),
        "target-doubled",
        Stock.INSTALLS,
    ),
    Case(
        "an image and a delta for one device",
        package(
            _two(raw(), raw(f'properties: {{ rdiffbase = "{RUNNING}"; }};', kind="rdiff_image", name="b")),
            a=PAYLOAD,
            b=b"rs\x026\x05hello\0",
        ),
        "target-doubled",
        Stock.INSTALLS,
    ),
    Case(
        "an image larger than the slot", package(image(), a=bytes(SLOT_SIZE + 1)), "slot-size", Stock.SPOILS
    ),
    Case(
        "an image that begins near the end",
        package(image(f"offset = {SLOT_SIZE - 512};")),
        "slot-size",
        Stock.SPOILS,
    ),
    Case("an image that begins behind the end", package(image('offset = "1G";')), "slot-size", Stock.REFUSES),
    Case(
        "an image that begins at 2^63 - 1",
        package(image("offset = 9223372036854775807L;")),
        "slot-size",
        Stock.REFUSES,
    ),
    Case("a device that is not there", package(image(device="/dev/none")), "slot-unreadable", Stock.REFUSES),
    Case("a device that is a folder", package(image(device="/mnt/other")), "slot-unreadable", Stock.REFUSES),
    Case(
        "a device that is a named pipe",
        package(image(device="/srv/pipe")),
        "slot-unreadable",
        Stock.NOTHING,
        prepare="mkfifo /srv/pipe",
    ),
    Case(
        "a device that takes all, /dev/null", package(image(device="/dev/null")), "slot-size", Stock.NOTHING
    ),
    Case("a device of characters, /dev/full", package(image(device="/dev/full")), "slot-size", Stock.REFUSES),
    Case(
        "no device",
        package('images: ( { filename = "a"; sha256 = "@a"; type = "raw"; } );'),
        "description-content",
        Stock.REFUSES,
    ),
    Case(
        "a device whose name goes on in another line",
        package(in_json(device=f"{SLOT}\n{RUNNING}")),
        "slot-unreadable",
        Stock.REFUSES,
    ),
)

_NAMES: Final = (
    *(
        Case(
            f"a file named {name}",
            package(image().replace('"a"', json.dumps(name)).replace("@a", f"@{name}"), **{name: PAYLOAD}),
            code,
            stock,
        )
        for name, code, stock in (
            ("../evil", "member-name", Stock.INSTALLS),
            ("/mnt/other/evil", "member-name", Stock.REFUSES),
            ("folder/file", "member-name", Stock.REFUSES),
            ("..", "member-name", Stock.REFUSES),
        )
    ),
    Case(
        "a file named sw-description",
        package(image().replace('"a"', '"sw-description"').replace("@a", "0" * 64)),
        "member-missing",
        Stock.REFUSES,
    ),
    Case(
        "a file named sw-description.sig",
        package(image().replace('"a"', '"sw-description.sig"').replace("@a", "0" * 64)),
        "member-missing",
        Stock.REFUSES,
    ),
    Case(
        "a file that is not in the archive",
        package(image().replace('"a"', '"b"')),
        "member-missing",
        Stock.REFUSES,
    ),
    Case(
        "a name of 255 characters",
        package(image().replace('"a"', f'"{"n" * 255}"')),
        "member-missing",
        Stock.REFUSES,
    ),
)


def _variable(name: str, value: str) -> str:
    tree = json.loads(in_json())
    tree["software"]["bootenv"] = [{"name": name, "value": value}]
    return json.dumps(tree)


_VARIABLES: Final = (
    Case(
        "a variable whose value is another line",
        package(_variable("a", "1\nboot_slot=b")),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "a variable whose name holds =",
        package(_variable("boot_slot=b", "x")),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "a variable whose name holds a blank",
        package(_variable("boot slot", "x")),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "a variable with a control character",
        package(_variable("a", "\x1b[2J")),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "a variable with a NUL",
        package(_variable("a", "1\0boot_slot=b")),
        "description-syntax",
        Stock.INSTALLS,
    ),
    Case("a variable without name", package(_variable("", "x")), "description-content", Stock.INSTALLS),
    Case(
        "a file of variables that is binary",
        package(image(kind="bootloader"), a=bytes(range(256))),
        "bootenv-format",
        Stock.NOTHING,
    ),
    Case(
        "a file of variables of a megabyte",
        package(image(kind="bootloader"), a=b"a=1\n" * 300_000),
        "bootenv-format",
        Stock.NOTHING,
    ),
    Case(
        "a file of variables with a control character",
        package(image(kind="bootloader"), a=b"a=\x1b[2J\n"),
        "bootenv-format",
        Stock.NOTHING,
    ),
    Case(
        "an eMMC's boot partition that is none",
        package(
            f'images: ( {raw()} ); scripts: ( {{ type = "emmc_boot"; device = "{DISK}"; data = "0"; }} );'
        ),
        "description-content",
        Stock.REFUSES,
    ),
)

GROUPS: Final = {
    "What runs or is mounted": _RUNNING,
    "Places": _PLACES,
    "Names": _NAMES,
    "Boot variables": _VARIABLES,
}
