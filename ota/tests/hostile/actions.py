"""Scripts that fail, hang or stay, and disks that would lose what is in use."""

from __future__ import annotations

import gzip
from typing import Final

from ota.tests.hostile.case import (
    DATA,
    DISK,
    PAYLOAD,
    RUNNING,
    SLOT,
    Case,
    Stock,
    When,
    entry,
    image,
    package,
    raw,
    script,
)

_TRIED: Final = "how a script ends is known when it has ended"
_LAST: Final = "it runs when everything was written"


def _script(name: str, text: str, stock: Stock, kind: str = "preinstall", more: str = "") -> Case:
    made = package(script(kind, more), a=b"#!/bin/sh\n" + text.encode(), b=PAYLOAD)
    return Case(name, made, "script-failed", stock, When.MARKED, _TRIED)


_SCRIPTS: Final = (
    _script("a script that fails", "exit 3", Stock.REFUSES),
    _script("a script that hangs", "sleep 100", Stock.HANGS),
    _script(
        "a script that hangs and will not be ended", "trap '' TERM INT HUP; sleep 100; sleep 100", Stock.HANGS
    ),
    _script("a script that prints without end", "while echo line; do sleep 0.01; done", Stock.HANGS),
    _script("a script that prints megabytes and fails", "yes | head -c 9000000; exit 1", Stock.REFUSES),
    _script(
        "a script that prints one line of megabytes and fails",
        "head -c 9000000 /dev/zero; exit 1",
        Stock.REFUSES,
    ),
    _script("a script that leaves another behind and fails", "sleep 100 & exit 1", Stock.REFUSES),
    _script("a script that ends its whole group", "kill -9 0", Stock.CRASHES),
    _script("a script that ends by a signal", "kill -SEGV $$", Stock.REFUSES),
    _script("a script that waits for its input", "read line || exit 1", Stock.REFUSES),
    _script("a script that closes all it has and hangs", "exec <&- >&- 2>&-; sleep 100", Stock.HANGS),
    Case(
        "a script of an interpreter that is not there",
        package(script(), a=b"#!/bin/none\n", b=PAYLOAD),
        "script-failed",
        Stock.REFUSES,
        When.MARKED,
        _TRIED,
    ),
    Case(
        "a script that is no program",
        package(script(), a=PAYLOAD, b=PAYLOAD),
        "script-failed",
        Stock.REFUSES,
        When.MARKED,
        _TRIED,
    ),
    Case(
        "a failing script whose name is a command of the shell",
        package(
            script()
            .replace('"a"', '"a; touch evil; cd mnt; cd other; touch evil"')
            .replace("@a", "@a; touch evil; cd mnt; cd other; touch evil"),
            **{"a; touch evil; cd mnt; cd other; touch evil": b"#!/bin/sh\nexit 1\n", "b": PAYLOAD},
        ),
        "script-failed",
        Stock.INSTALLS,
        When.MARKED,
        _TRIED,
    ),
    Case(
        "a script that fails behind the images",
        package(script("postinstall"), a=b"#!/bin/sh\nexit 1\n", b=PAYLOAD),
        "script-failed",
        Stock.SPOILS,
        When.SPOILT,
        _LAST,
    ),
    Case(
        "a script that hangs behind the images",
        package(script("postinstall"), a=b"#!/bin/sh\nsleep 100\n", b=PAYLOAD),
        "script-failed",
        Stock.HANGS,
        When.SPOILT,
        _LAST,
    ),
    Case(
        "a script that hangs when the update has failed",
        package(
            script("shellscript"), a=b"#!/bin/sh\n[ $1 != postfailure ] || sleep 100\nexit 1\n", b=PAYLOAD
        ),
        "script-failed",
        Stock.HANGS,
        When.MARKED,
        _TRIED,
    ),
    Case(
        "a script of 64 MiB, compressed",
        lambda: package(
            script(more='compressed = "zlib";'),
            a=gzip.compress(b"#!/bin/sh\n" + bytes(64 << 20), 1),
            b=PAYLOAD,
        )(),
        "member-size",
        Stock.REFUSES,
    ),
    Case(
        "a script whose compression is damaged",
        package(script(more='compressed = "zlib";'), a=PAYLOAD, b=PAYLOAD),
        "payload-format",
        Stock.REFUSES,
    ),
    Case(
        "a script without sha256",
        package(script().replace(' sha256 = "@a";', ""), a=b"#!/bin/sh\n", b=PAYLOAD),
        "digest-missing",
        Stock.REFUSES,
    ),
)


def _executor(
    name: str, command: str, code: str, stock: Stock, when: When = When.FIRST, late: str = ""
) -> Case:
    text = f"images: ( {entry(f'properties: {{ {command} }};', kind='executor')} );"
    return Case(name, package(text), code, stock, when, late)


_COMMANDS: Final = (
    _executor("a program that is not there", 'cmd = "/bin/none";', "tool-missing", Stock.REFUSES),
    _executor("a program by a relative path", 'cmd = "bin/true";', "description-content", Stock.REFUSES),
    _executor("no program", "", "description-content", Stock.REFUSES),
    _executor(
        "a program that fails", 'cmd = "/bin/false";', "script-failed", Stock.REFUSES, When.MARKED, _TRIED
    ),
    _executor(
        "a program that hangs",
        'cmd = "/bin/sleep"; parms = "100";',
        "script-failed",
        Stock.HANGS,
        When.MARKED,
        _TRIED,
    ),
)

_MOUNTED: Final = f"mkdir /srv/data; mount -o ro {DATA} /srv/data; "
_BOOT: Final = '"start=2048", "size=2M", "name=boot", "type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"'
_ROOTFS: Final = '"type=0FC63DAF-8483-4772-8E79-3D69D8477DE4"'


def _table(*partitions: str, label: str = "gpt", more: str = "") -> str:
    """A section that partitions the disk."""
    lines = " ".join(f"partition-{n} = [ {fields} ];" for n, fields in enumerate(partitions, 1))
    return (
        f'partitions: ( {{ type = "diskpart"; device = "{DISK}"; '
        f'properties: {{ labeltype = "{label}"; {lines} {more} }}; }} );'
    )


_KEPT: Final = (
    _BOOT,
    f'"start=6144", "size=4M", "name=rootfs-a", {_ROOTFS}',
    f'"start=14336", "size=4M", "name=rootfs-b", {_ROOTFS}',
    f'"start=22528", "size=8M", "name=data", {_ROOTFS}',
)


# The kernel's own names of the disk's partitions: the nodes that a device's /dev has beside.
_NODES: Final = (
    "disk=/sys/dev/block/$((0x$(stat -c %t /dev/mmcblk0))):$((0x$(stat -c %T /dev/mmcblk0))); "
    "for part in $disk/loop*p*; do mknod /dev/${part##*/} b $(tr : ' ' < $part/dev); done; "
)


def _disk(name: str, text: str, code: str, stock: Stock, prepare: str = "") -> Case:
    return Case(name, package(text), code, stock, prepare=prepare)


_TABLES: Final = (
    _disk(
        "a table without the running slot",
        _table('"size=4M", "name=all"'),
        "partition-in-use",
        Stock.INSTALLS,
    ),
    _disk(
        "a table that cuts the running slot",
        _table(_KEPT[0], _KEPT[1].replace("4M", "2M"), *_KEPT[2:]),
        "partition-in-use",
        Stock.INSTALLS,
    ),
    _disk(
        "a table that moves the running slot",
        _table(_KEPT[0].replace("2M", "1M"), _KEPT[1].replace("6144", "4096"), *_KEPT[2:]),
        "partition-in-use",
        Stock.INSTALLS,
    ),
    _disk(
        "a table without a mounted partition", _table(*_KEPT[:3]), "partition-in-use", Stock.REFUSES, _MOUNTED
    ),
    _disk(
        "a table of another kind",
        _table('"start=2048", "size=2M", "type=0x83"', label="dos"),
        "partition-in-use",
        Stock.INSTALLS,
    ),
    _disk(
        "a table that formats the running slot",
        _table(_KEPT[0], f'{_KEPT[1]}, "fstype=ext4", "force=true"', *_KEPT[2:]),
        "partition-in-use",
        Stock.RUNNING,
        _NODES,
    ),
    _disk(
        "partitions that overlap",
        _table(*_KEPT[:3], '"start=16384", "size=4M"'),
        "partition-table",
        Stock.REFUSES,
    ),
    _disk(
        "a partition larger than the disk",
        _table(*_KEPT[:3], '"start=22528", "size=1G"'),
        "partition-table",
        Stock.INSTALLS,
    ),
    _disk(
        "a partition that begins behind the disk",
        _table(*_KEPT[:3], '"start=99999999", "size=1M"'),
        "partition-table",
        Stock.REFUSES,
    ),
    _disk("a table of an unknown kind", _table(*_KEPT, label="bsd"), "description-content", Stock.REFUSES),
    _disk(
        "a partition whose size is a word",
        _table(*_KEPT[:3], '"size=large"'),
        "description-content",
        Stock.REFUSES,
    ),
    _disk(
        "a partition with a key that nobody knows",
        _table(*_KEPT[:3], '"colour=red"'),
        "description-content",
        Stock.INSTALLS,
    ),
    _disk(
        "partition number 0",
        _table(*_KEPT, more='partition-0 = [ "size=1M" ];'),
        "description-content",
        Stock.REFUSES,
    ),
    _disk(
        "partition number 100,000",
        _table(*_KEPT, more='partition-100000 = [ "size=1M" ];'),
        "description-content",
        Stock.REFUSES,
    ),
    _disk(
        "a table with lines for sfdisk in a name",
        _table(*_KEPT[:3], '"size=1M", "name=x\\nlabel: dos"'),
        "description-content",
        Stock.INSTALLS,
    ),
    _disk(
        "a table for a disk that is not there",
        _table(*_KEPT).replace(DISK, "/dev/none"),
        "slot-unreadable",
        Stock.REFUSES,
    ),
)


def _format(device: str, properties: str) -> str:
    return f'partitions: ( {{ type = "diskformat"; device = "{device}"; properties: {{ {properties} }}; }} );'


def _after(kind: str, properties: str, device: str = DISK) -> str:
    """An image, and a script that is built in."""
    element = f'{{ type = "{kind}"; device = "{device}"; properties: {{ {properties} }}; }}'
    return f"images: ( {raw()} ); scripts: ( {element} );"


_EXT4: Final = 'fstype = "ext4"; force = "true";'

_DISKS: Final = (
    _disk("formatting the running slot", _format(RUNNING, _EXT4), "slot-running", Stock.RUNNING),
    _disk("formatting a mounted partition", _format(DATA, _EXT4), "slot-mounted", Stock.REFUSES, _MOUNTED),
    _disk(
        "formatting with what is no file system",
        _format(SLOT, 'fstype = "none";'),
        "description-content",
        Stock.REFUSES,
    ),
    _disk(
        "formatting the disk that the running slot lies on",
        _format(DISK, _EXT4),
        "partition-in-use",
        Stock.RUNNING,
    ),
    _disk(
        "an image for the partition named as the running slot",
        image('volume = "rootfs-a";', kind="gptpart", device=DISK),
        "slot-running",
        Stock.RUNNING,
        _NODES,
    ),
    _disk(
        "an image for a partition name that is not there",
        image('volume = "none";', kind="gptpart", device=DISK),
        "partition-missing",
        Stock.REFUSES,
    ),
    _disk(
        "an image for a partition without name",
        image(kind="gptpart", device=DISK),
        "description-content",
        Stock.REFUSES,
    ),
    _disk(
        "swapping a partition name that is not there",
        _after("gptswap", 'swap-0 = [ "rootfs-a", "none" ];'),
        "partition-missing",
        Stock.INSTALLS,
    ),
    _disk(
        "swapping one partition name",
        _after("gptswap", 'swap-0 = [ "rootfs-a" ];'),
        "description-content",
        Stock.INSTALLS,
    ),
    _disk("a boot flag on a GPT", _after("toggleboot", 'partition = "1";'), "partition-table", Stock.SPOILS),
    Case(
        "reading back another digest than is there",
        package(_after("readback", f'sha256 = "{"0" * 64}"; size = "4096";', RUNNING)),
        "result-mismatch",
        Stock.SPOILS,
        When.SPOILT,
        _LAST,
    ),
)

GROUPS: Final = {
    "Scripts": _SCRIPTS,
    "Programs of the device": _COMMANDS,
    "Partition tables": _TABLES,
    "Partitions": _DISKS,
}
