"""The order of work, scripts, markers: what happens when, and what is left when something fails.

Scripts write their name and arguments, and what they find, to /mnt/log. SWUpdate: doc/source/sw-description.rst,
"scripts"; "Update Transaction and Status Marker".
"""

from __future__ import annotations

import gzip
from typing import Final

from ota.tests.conformance.attributes import encrypted
from ota.tests.conformance.case import (
    BOOT,
    DATA,
    DISK,
    FOLDER,
    TEXT,
    Case,
    Environment,
    Rest,
    Stock,
    image,
    images,
    in_json,
)  # fmt: skip

_BOTH: Final = (DISK, FOLDER)
_TOO_LARGE: Final = b"\x5a" * (5 << 20)


def script(name: str, also: str = "", status: int = 0) -> bytes:
    """A shell script that writes what it was called with."""
    return f'#!/bin/sh\necho "{name}: $#: $*" >> /mnt/log\n{also}\nexit {status}\n'.encode()


# Whether the slot is written, and what the boot loader would find.
_LOOK: Final = """
head -c 16 /dev/mmcblk0p3 | sha256sum | cut -c -8 >> /mnt/log
fw_printenv -c /srv/fw_env.config 2>&1 | grep -E "recovery|ustate|boot_slot|found" | sort >> /mnt/log
"""


def scripts(*elements: str) -> str:
    return f"scripts: ( {', '.join(elements)} );"


def entry(name: str, kind: str = "shellscript", more: str = "") -> str:
    return f'{{ filename = "{name}"; sha256 = "@{name}"; type = "{kind}"; {more} }}'


_ENV: Final = 'bootenv: ( { name = "found"; value = "x"; } );'


def _row(name: str, text: str, **more: Rest) -> Case:
    more = {"members": {"a": DATA, "s": script("s"), "t": script("t")}, "changes": _BOTH, **more}
    return Case("scripts", name, text, **more)


_SCRIPTS: Final = (
    _row("shellscript", images(image()) + scripts(entry("s"))),
    _row("preinstall", images(image()) + scripts(entry("s", "preinstall"))),
    _row("postinstall", images(image()) + scripts(entry("s", "postinstall"))),
    _row("all three kinds", images(image()) + scripts(entry("s", "postinstall"), entry("t"), entry("s", "preinstall"))),
    _row("two shellscripts", images(image()) + scripts(entry("t"), entry("s"))),
    _row("one file twice", images(image()) + scripts(entry("s"), entry("s"))),
    _row("data", images(image()) + scripts(entry("s", more='data = "one";'))),
    _row("data of several words", images(image()) + scripts(entry("s", more='data = "one two  three";'))),
    _row("data with quotes", images(image()) + scripts(entry("s", more="data = \"one 'two three'\";"))),
    _row("data for preinstall", images(image()) + scripts(entry("s", "preinstall", 'data = "one two";'))),
    _row("no image", scripts(entry("s")), changes=(FOLDER,)),
    _row("what they find", images(image()) + _ENV + scripts(entry("s")),
         members={"a": DATA, "s": script("s", _LOOK)}),
    _row("before and after partitions, images and files",
         images(image("offset = 1048576;"), image(name="b")) + 'files: ( { filename = "b"; sha256 = "@b"; path = "/mnt/etc/new"; } );'
         + scripts(entry("s")), members={"a": DATA, "b": TEXT, "s": script("s", "ls /mnt/etc >> /mnt/log" + _LOOK)}),
    _row("folder they run in", images(image()) + scripts(entry("s")), members={"a": DATA, "s": script("s", "pwd >> /mnt/log")}),
    _row("standard input", images(image()) + scripts(entry("s")),
         members={"a": DATA, "s": script("s", "cat | wc -c >> /mnt/log")}),
    _row("with output", images(image()) + scripts(entry("s")),
         members={"a": DATA, "s": script("s", "echo out; echo err >&2; seq 2000")}),
    _row("compressed", images(image()) + scripts(entry("s", more='compressed = "zlib";')),
         members={"a": DATA, "s": gzip.compress(script("s"), mtime=0)}),
    _row("encrypted", images(image()) + scripts(entry("s", more="encrypted = true;")), key=True,
         members={"a": DATA, "s": encrypted(script("s"))}),
    _row("no #! line", images(image()) + scripts(entry("s")), members={"a": DATA, "s": b"echo $1 >> /mnt/log\n"}),
    _row("leaves a process behind", images(image()) + scripts(entry("s")),
         members={"a": DATA, "s": script("s", "sleep 100 >/dev/null 2>&1 &")}),
    _row("archive in another order", images(image()) + scripts(entry("s"), entry("t")),
         members={"t": script("t"), "s": script("s"), "a": DATA}),
    _row("name and version, installed", images(image()) + scripts(
         entry("s", more='name = "n"; version = "1"; install-if-different = true;'), entry("t")), installed={"n": "1"}),
    _row("not in the archive", images(image()) + scripts(entry("gone").replace("@gone", "@s")),
         stock=Stock.REFUSED, code="member-missing", differs=(BOOT,),
         reason="refused before the first write; stock looks for it when it is needed"),
    _row("wrong digest", images(image()) + scripts(entry("s").replace("@s", "@t")), stock=Stock.REFUSED,
         code="digest-mismatch"),
    _row("no digest", images(image()) + scripts('{ filename = "s"; type = "shellscript"; }'),
         stock=Stock.REFUSED, code="digest-missing"),
    _row("no filename", images(image()) + scripts('{ type = "shellscript"; }'),
         stock=Stock.REFUSED, code="description-content"),
)  # fmt: skip

_FAILING: Final = """[ "$1" = %s ] && exit 3"""


def _failing(name: str, text: str, members: dict[str, bytes], **more: Rest) -> Case:
    more = {"code": "script-failed", "stock": Stock.REFUSED, **more}
    return Case("failures", name, text, members, **more)


_FAILURES: Final = (
    _failing("shellscript preinst", images(image()) + _ENV + scripts(entry("s"), entry("t")),
             {"a": DATA, "s": script("s", _FAILING % "preinst"), "t": script("t")}),
    _failing("second shellscript preinst", images(image()) + _ENV + scripts(entry("t"), entry("s")),
             {"a": DATA, "s": script("s", _FAILING % "preinst"), "t": script("t")}),
    _failing("preinstall", images(image()) + _ENV + scripts(entry("s", "preinstall"), entry("t")),
             {"a": DATA, "s": script("s", status=1), "t": script("t")}),
    _failing("shellscript postinst", images(image()) + _ENV + scripts(entry("s"), entry("t")),
             {"a": DATA, "s": script("s", _FAILING % "postinst"), "t": script("t")}),
    _failing("postinstall", images(image()) + _ENV + scripts(entry("s", "postinstall"), entry("t")),
             {"a": DATA, "s": script("s", status=1), "t": script("t")}),
    _failing("postfailure too", images(image()) + _ENV + scripts(entry("s"), entry("t")),
             {"a": DATA, "s": script("s", _LOOK, status=1), "t": script("t")}, differs=(FOLDER,),
             reason="each postfailure is called; stock stops at the first that fails"),
    _failing("killed by a signal", images(image()) + _ENV + scripts(entry("s", "preinstall")),
             {"a": DATA, "s": script("s", "kill -9 $$")}),
    _failing("no such interpreter", images(image()) + _ENV + scripts(entry("s", "preinstall")),
             {"a": DATA, "s": b"#!/nosuch\n"}),
    _failing("an image", images(image(name="b"), image('compressed = "zlib"; offset = 2097152;')) + _ENV + scripts(entry("s")),
             {"a": DATA, "b": TEXT, "s": script("s", _LOOK)}, code="payload-format", differs=(BOOT, DISK, FOLDER),
             reason="refused before the first write; stock finds out half way"),
    _failing("an image that is too large", images(image()) + _ENV + scripts(entry("s")),
             {"a": _TOO_LARGE, "s": script("s")}, code="slot-size", differs=(BOOT, DISK, FOLDER),
             reason="refused before the first write; stock finds out half way"),
    _failing("no such device", images(image(device="/dev/nosuch")) + _ENV + scripts(entry("s")),
             {"a": DATA, "s": script("s")}, code="slot-unreadable", differs=(BOOT, FOLDER),
             reason="refused before the first write; stock finds out half way"),
    _failing("a device that is no path", images(image(device="nosuch")) + _ENV, {"a": DATA}, code="slot-unreadable",
             differs=(BOOT,), reason="refused before the first write; stock finds out half way"),
    _failing("markers are off", "bootloader_transaction_marker = false; bootloader_state_marker = false;"
             + images(image()) + _ENV + scripts(entry("s", "preinstall")), {"a": DATA, "s": script("s", status=1)}),
)  # fmt: skip


def _markers(name: str, text: str, **more: Rest) -> Case:
    look = {"a": DATA, "s": script("s", _LOOK)}
    more = {"members": look, "changes": _BOTH, **more}
    return Case("markers", name, text + images(image()) + _ENV + scripts(entry("s")), **more)


_MARKERS: Final = (
    _markers("both", ""),
    _markers("both, said", "bootloader_transaction_marker = true; bootloader_state_marker = true;"),
    _markers("no transaction marker", "bootloader_transaction_marker = false;"),
    _markers("no state marker", "bootloader_state_marker = false;"),
    _markers("neither", "bootloader_transaction_marker = false; bootloader_state_marker = false;"),
    _markers("one copy of the environment", "", environment=Environment.SINGLE),
    _markers("a marker that is a string", 'bootloader_state_marker = "false";', code="description-content",
             reason="a wrong type is a mistake; stock ignores the attribute"),
    _markers("reboot = true", "reboot = true;"),
    _markers("reboot = false", "reboot = false;"),
    _markers("reboot as a word", 'reboot = "disabled";'),
    _markers("reboot as a number", "reboot = 1;", code="description-content",
             reason="a wrong type is a mistake; stock ignores the attribute"),
    _markers("description", 'description = "what is new";'),
    _markers("name", 'name = "product";'),
    _markers("output", 'output = "/mnt/kept.swu";'),
    _markers("dry run", "", options=("--dry-run",), changes=()),
)  # fmt: skip

ORDER: Final = (*_SCRIPTS, *map(in_json, _SCRIPTS[:2]), *_FAILURES, *_MARKERS, *map(in_json, _MARKERS[2:6]))
