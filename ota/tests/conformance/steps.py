"""Handlers for disks, for the boot loader, and those without data (SWUpdate: doc/source/handlers.rst)."""

from __future__ import annotations

import hashlib
from typing import Final

from ota.tests.conformance.case import (
    BLANK,
    BOOT,
    DATA,
    DISK,
    DISK_SIZE,
    FOLDER,
    LINUX,
    TEXT,
    Case,
    Environment,
    Rest,
    Stock,
    image,
    images,
    in_json,
    noise,
)  # fmt: skip
from ota.tests.conformance.writers import EARLIER, entry

_GPT_GUID: Final = tuple(
    (BLANK, at + first, at + last, what)
    for at in (512, DISK_SIZE - 512)  # the header and its copy
    for first, last, what in ((56, 72, "random disk GUID"), (16, 20, "its CRC"))
)
_DOS_ID: Final = ((BLANK, 440, 444, "random disk identifier"),)
_UUID: Final = "66666666-6666-4666-8666-66666666666"


def _step(section: str, kind: str, device: str, properties: str = "", more: str = "") -> str:
    group = f"properties: {{ {properties} }};" if properties else ""
    place = f'device = "{device}";' if device else ""
    return f'{section}: ( {{ type = "{kind}"; {place} {group} {more} }} );'


def _after(kind: str, name: str, properties: str, device: str = "/dev/mmcblk0p3", **rest: Rest) -> Case:
    """A script handler after an image."""
    text = images(image()) + _step("scripts", kind, device, properties)
    return Case(kind, name, text, **rest)


_SHA: Final = hashlib.sha256(DATA).hexdigest()
_WHOLE: Final = hashlib.sha256(DATA + noise("rootfs-b", 4 << 20)[len(DATA) :]).hexdigest()
_READBACK: Final = (
    _after("readback", "size", f'sha256 = "{_SHA}"; size = "{len(DATA)}";'),
    _after("readback", "whole device", f'sha256 = "{_WHOLE}";'),
    _after("readback", "offset", f'sha256 = "{hashlib.sha256(DATA[512:1512]).hexdigest()}"; offset = "512"; size = "1000";'),
    _after("readback", "size 0", f'sha256 = "{_WHOLE}"; size = "0";'),
    _after("readback", "another device", f'sha256 = "{hashlib.sha256(noise("rootfs-a", 4 << 20)).hexdigest()}";',
           "/dev/mmcblk0p2"),
    _after("readback", "wrong", f'sha256 = "{"0" * 63}1"; size = "{len(DATA)}";', stock=Stock.REFUSED,
           code="result-mismatch"),
    _after("readback", "no digest", 'size = "5";', stock=Stock.REFUSED, code="description-content", differs=(BOOT, DISK),
           reason=EARLIER),
    _after("readback", "no such device", f'sha256 = "{_SHA}";', "/dev/nosuch", stock=Stock.REFUSED,
           code="slot-unreadable", differs=(BOOT, DISK), reason=EARLIER),
    _after("readback", "beyond the end", f'sha256 = "{_SHA}"; offset = "5000000"; size = "10";', stock=Stock.REFUSED,
           code="slot-size", differs=(BOOT, DISK), reason=EARLIER),
)  # fmt: skip


def _boot(name: str, content: str, more: str = "", **rest: Rest) -> Case:
    text = images(entry("bootloader", more)) + 'bootenv: ( { name = "both"; value = "section"; } );'
    rest = {"changes": (), **rest}
    return Case("bootloader", name, text, {"a": content.encode()}, **rest)


_NO_OVERRIDE: Final = 'properties: { nooverride = "true"; };'
_BOOTLOADER: Final = (
    _boot("variables", "one=1\ntwo=2\n"),
    Case("bootloader", "as type uboot", images(entry("uboot", "")), {"a": b"one=1\n"}, changes=()),
    _boot("comments and empty lines", "# a comment\n\none=1\n"),
    _boot("no end of line", "one=1"),
    _boot("CR LF", "one=1\r\ntwo=2\r\n"),
    _boot("value with =", "bootargs=root=/dev/x quiet=1\n"),
    _boot("value with blanks", "bootcmd=run a; run b\n"),
    _boot("blanks around =", "one = 1\n", code="bootenv-format", reason="no name of a variable; stock sets 'one '"),
    _boot("unset by an empty value", "old=\n"),
    _boot("unset by a name alone", "old\n"),
    _boot("twice", "one=first\none=second\n"),
    _boot("over the section", "both=file\n"),
    _boot("over the section, nooverride", "both=file\none=1\n", _NO_OVERRIDE),
    _boot("unset in the file, set in the section", "both=\n"),
    _boot("empty file", ""),
    _boot("a line without a name", "=1\none=1\n", code="bootenv-format", reason="a variable without a name is a mistake"),
    Case("bootloader", "two files", images(entry("bootloader", ""), entry("bootloader", "", "b")),
         {"a": b"one=1\ntwo=1\n", "b": b"two=2\n"}, changes=()),
    _boot("one copy of the environment", "one=1\n", environment=Environment.SINGLE),
)  # fmt: skip


def _copy(name: str, properties: str, kind: str = "rawcopy", device: str = "/dev/mmcblk0p3", more: str = "",
          **rest: Rest) -> Case:  # fmt: skip
    text = _step("scripts", kind, device, properties, more)
    return Case(kind, name, text, **rest)


_FROM: Final = 'copyfrom = "/dev/mmcblk0p2";'
_COPIES: Final = (
    _copy("whole device", f'{_FROM} type = "postinstall";'),
    _copy("size", f'{_FROM} size = "100000"; type = "preinstall";'),
    _copy("size, K", f'{_FROM} size = "64K"; type = "postinstall";'),
    _copy("twice, before and after", _FROM),
    _copy("size detect", f'{_FROM} size = "detect"; type = "postinstall";'),
    _copy("from a file", 'copyfrom = "/mnt/etc/app.conf"; type = "postinstall";'),
    _copy("offset", f'{_FROM} size = "1000"; type = "postinstall";', more='offset = "4096";'),
    _copy("chain raw", f'{_FROM} size = "100000"; type = "postinstall"; chain = "raw";', "copy"),
    _copy("chain rawfile", 'copyfrom = "/mnt/etc/app.conf"; type = "postinstall"; chain = "rawfile";', "copy", "",
          more='path = "/mnt/etc/copy";', changes=(FOLDER,)),
    _copy("recursive", 'copyfrom = "/mnt/bin"; type = "postinstall"; chain = "rawfile"; recursive = "true"; '
          'create-destination = "true";', "copy", "", more='path = "/mnt/copied";', changes=(FOLDER,)),
    _copy("no copyfrom", 'type = "postinstall";', stock=Stock.REFUSED, code="description-content", differs=(BOOT,),
          reason=EARLIER),
    _copy("no such source", 'copyfrom = "/dev/nosuch"; type = "postinstall";', stock=Stock.REFUSED,
          code="slot-unreadable"),
    _copy("unknown type", f'{_FROM} type = "sometime";', stock=Stock.REFUSED, code="description-content",
          differs=(BOOT,), reason=EARLIER),
)  # fmt: skip


def _disk(name: str, properties: str, also: str = "", **rest: Rest) -> Case:
    text = _step("partitions", "diskpart", "/dev/sda", properties) + images(image()) + also
    rest = {"changes": (DISK, BLANK), "blank": True, "masks": _GPT_GUID, **rest}
    return Case("diskpart", name, text, **rest)


def _dos(name: str, properties: str, also: str = "", **rest: Rest) -> Case:
    return _disk(name, properties, also, masks=_DOS_ID, **rest)


def _part(number: int, size: str, start: int, more: str = "", uuid: bool = True) -> str:
    own = f', "partuuid={_UUID}{number}"' if uuid else ""
    return f'partition-{number} = [ "size={size}", "start={start}", "name=p{number}", "type={LINUX}"{own}{more} ];'


_GPT: Final = 'labeltype = "gpt"; ' + _part(1, "1M", 2048) + _part(2, "4M", 4096)
_DOS: Final = ('labeltype = "dos"; partition-1 = [ "size=1M", "start=2048", "type=0x83" ]; '
               'partition-2 = [ "size=4M", "start=4096", "type=0xc" ];')  # fmt: skip
_DISKS: Final = (
    _disk("gpt, two partitions", _GPT),
    _disk("gpt, one", 'labeltype = "gpt"; ' + _part(1, "2M", 2048)),
    _disk("gpt, size in K", 'labeltype = "gpt"; ' + _part(1, "512K", 2048)),
    _disk("gpt, numbers with a gap", 'labeltype = "gpt"; ' + _part(1, "1M", 2048) + _part(3, "1M", 8192)),
    _disk("gpt, in another order", 'labeltype = "gpt"; ' + _part(2, "1M", 2048) + _part(1, "1M", 8192)),
    _dos("dos, two partitions", _DOS),
    _dos("dos, boot flag", 'labeltype = "dos"; partition-1 = [ "size=1M", "start=2048", "type=0x83", "flag=boot" ];'),
    _dos("dos, logical partitions",
          'labeltype = "dos"; partition-1 = [ "size=1M", "start=2048", "type=0x83" ]; '
          'partition-2 = [ "size=8M", "start=4096", "type=0x5" ]; '
          'partition-5 = [ "size=1M", "start=6144", "type=0x83" ];'),
    _disk("gpt, hybrid", 'labeltype = "gpt"; ' + _part(1, "1M", 2048, ', "dostype=0x83"') + _part(2, "1M", 8192)),
    _disk("no label type", _part(1, "1M", 2048), stock=Stock.REFUSED, code="description-content",
          differs=(BOOT,), reason=EARLIER),
    _disk("no partitions", 'labeltype = "gpt";', code="description-content", reason="nothing to make is a mistake"),
    _disk("noinuse and nolock", 'noinuse = "true"; nolock = "true"; ' + _GPT),
    _disk("too large", 'labeltype = "gpt"; ' + _part(1, "1G", 2048), code="partition-table",
          reason="there is not so much room; stock makes it smaller"),
    _disk("over one another", 'labeltype = "gpt"; ' + _part(1, "4M", 2048) + _part(2, "4M", 4096),
          stock=Stock.REFUSED, code="partition-table", differs=(BOOT,), reason=EARLIER),
    _disk("unknown label type", 'labeltype = "sun"; ' + _part(1, "1M", 2048), stock=Stock.REFUSED,
          code="description-content", differs=(BOOT,), reason=EARLIER),
    Case("diskpart", "the table that is there already", _step("partitions", "diskpart", "/dev/mmcblk0",
         'labeltype = "gpt"; noinuse = "true"; ' + " ".join(
             f'partition-{n} = [ "size={size}M", "start={start * 2048}", "name={name}", "type={kind}", '
             f'"partuuid={str(n) * 8}-{str(n) * 4}-4111-8111-{str(n) * 12}" ];'
             for n, (name, start, size, kind) in enumerate((
                 ("boot", 1, 2, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), ("rootfs-a", 3, 4, LINUX),
                 ("rootfs-b", 7, 4, LINUX), ("data", 11, 8, LINUX)), 1))) + images(image())),
    Case("diskpart", "in the wrong section", _step("scripts", "diskpart", "/dev/sda", _GPT), blank=True,
         stock=Stock.REFUSED, code="description-type"),
)  # fmt: skip

_NAMED: Final = 'device = "/dev/mmcblk0"; volume = "{}"; {}'
_TABLES: Final = (
    Case("gptpart", "by name", images(entry("gptpart", _NAMED.format("rootfs-b", "")))),
    Case("gptpart", "offset", images(entry("gptpart", _NAMED.format("rootfs-b", 'offset = "64K";')))),
    Case("gptpart", "installed-directly", images(entry("gptpart", _NAMED.format("rootfs-b", "installed-directly = true;")))),
    Case("gptpart", "no such name", images(entry("gptpart", _NAMED.format("nosuch", ""))), stock=Stock.REFUSED,
         code="partition-missing", differs=(BOOT,), reason=EARLIER),
    Case("gptpart", "too large", images(entry("gptpart", _NAMED.format("rootfs-b", ""))), {"a": b"x" * (5 << 20)},
         stock=Stock.REFUSED, code="slot-size", differs=(BOOT, DISK), reason=EARLIER),
    Case("gptpart", "the running slot", images(entry("gptpart", _NAMED.format("rootfs-a", ""))), code="slot-running",
         reason="the running slot is never written"),
    Case("gptswap", "one pair", _step("scripts", "gptswap", "/dev/mmcblk0", 'swap-0 = [ "rootfs-b", "data" ];')),
    Case("gptswap", "two pairs", _step("scripts", "gptswap", "/dev/mmcblk0",
         'swap-0 = [ "rootfs-b", "data" ]; swap-1 = [ "boot", "rootfs-b" ];')),
    Case("gptswap", "no such name", _step("scripts", "gptswap", "/dev/mmcblk0", 'swap-0 = [ "rootfs-b", "nosuch" ];'),
         changes=(), code="partition-missing", reason="there is no such partition; stock calls it a success"),
    Case("gptswap", "three names", _step("scripts", "gptswap", "/dev/mmcblk0", 'swap-0 = [ "boot", "rootfs-b", "data" ];'),
         changes=(), code="description-content", reason="a pair has two; stock calls it a success"),
    _dos("then toggleboot", _DOS, _step("scripts", "toggleboot", "/dev/sda", 'partition = "2";')),
    _dos("then toggleboot, no such partition", _DOS, _step("scripts", "toggleboot", "/dev/sda", 'partition = "4";'),
          code="partition-missing", differs=(BOOT, DISK, BLANK),
          reason="there is no such partition, as is known when the table is made; stock calls it a success"),
    Case("toggleboot", "GPT", _step("scripts", "toggleboot", "/dev/mmcblk0", 'partition = "2";'), stock=Stock.REFUSED,
         code="partition-table", differs=(BOOT,), reason=EARLIER),
)  # fmt: skip


def _format(name: str, device: str, properties: str, **rest: Rest) -> Case:
    text = _step("partitions", "diskformat", device, properties) + images(image())
    return Case("diskformat", name, text, **rest)


_UNIQUE: Final = 'fs-uuid = [ "{}" ];'
_OTHERS: Final = (
    _format("ext4", "/dev/sda", 'fstype = "ext4";', blank=True, changes=(DISK, BLANK), trees=(BLANK,)),
    _format("vfat", "/dev/sda", 'fstype = "vfat";', blank=True, changes=(DISK, BLANK), trees=(BLANK,)),
    _format("file system is there", "/dev/mmcblk0p4", 'fstype = "ext4";'),
    _format("file system is there, force", "/dev/mmcblk0p4", 'fstype = "ext4"; force = "true";',
            changes=(DISK, "mmcblk0p4"), trees=("mmcblk0p4",)),
    _format("another is there", "/dev/mmcblk0p4", 'fstype = "vfat";', changes=(DISK, "mmcblk0p4"),
            trees=("mmcblk0p4",)),
    _format("unknown type", "/dev/sda", 'fstype = "nosuch";', blank=True, stock=Stock.REFUSED,
            code="description-content", differs=(BOOT,), reason=EARLIER),
    _format("no type", "/dev/sda", 'force = "true";', blank=True, stock=Stock.REFUSED, code="description-content",
            differs=(BOOT,), reason=EARLIER),
    Case("uniqueuuid", "of no file system", _step("partitions", "uniqueuuid", "/dev/mmcblk0p3",
         _UNIQUE.format("99999999-9999-4999-8999-999999999999")) + images(image())),
    Case("uniqueuuid", "of the data partition", _step("partitions", "uniqueuuid", "/dev/mmcblk0p3",
         _UNIQUE.format("55555555-5555-4555-8555-555555555555")) + images(image()), stock=Stock.REFUSED,
         code="uuid-taken", differs=(BOOT,), reason=EARLIER),
    Case("uniqueuuid", "none given", _step("partitions", "uniqueuuid", "/dev/mmcblk0p3") + images(image()),
         stock=Stock.REFUSED, code="description-content", differs=(BOOT,), reason=EARLIER),
    Case("dummy", "among images", images(entry("dummy", "")), changes=()),
    Case("dummy", "before an image", images(entry("dummy", "", "b"), image()), {"a": DATA, "b": TEXT}),
    Case("executor", "cat", images(entry("executor", 'properties: { cmd = "/bin/sh"; parms = "-c \'cat > /mnt/got\'"; };')),
         changes=(FOLDER,)),
    *(Case("other handlers", kind, images(entry(kind, "")), code="feature-absent",
           stock=Stock.REFUSED, differs=(BOOT,), reason="not here; nor does stock succeed without such hardware")
      for kind in ("flash", "flash-hamming1", "swuforward", "ucfw", "docker_imageload")),
    Case("other handlers", "ubivol", images(entry("ubivol", "")), stock=Stock.CRASHES, code="feature-absent"),
    Case("other handlers", "remote", images(entry("remote", "")), stock=Stock.REFUSED, code="feature-absent"),
    Case("other handlers", "btrfs", _step("partitions", "btrfs", "/dev/mmcblk0p3") + images(image()),
         stock=Stock.REFUSED, code="feature-absent", differs=(BOOT,), reason=EARLIER),
    Case("other handlers", "ubipartition without a name",
         _step("partitions", "ubipartition", "/dev/mmcblk0p3") + images(image()), code="feature-absent",
         reason="there is no UBI; stock passes over the entry"),
)  # fmt: skip

STEPS: Final = (*_READBACK, *_BOOTLOADER, *_COPIES, *_DISKS, *_TABLES, *_OTHERS,
                *map(in_json, (_READBACK[0], _BOOTLOADER[0], _COPIES[1], _DISKS[0], _TABLES[0])))  # fmt: skip
