"""Descriptions that cannot be believed: too large, too deep, malformed, of wrong types, in circles."""

from __future__ import annotations

import json
from typing import Final

from ota.tests.hostile.case import (
    PAYLOAD,
    SLOT,
    Case,
    Package,
    Stock,
    file,
    image,
    in_json,
    package,
    raw,
    script,
)

_MARK: Final = "a mark that stands for something else"


def _many() -> Package:
    return Package(f"images: ( {', '.join([raw()] * 100_000)} );", {"a": PAYLOAD})


def _lists() -> Package:
    text = '{ "software": { "version": "1.0", "more": ' + "[" * 10_000 + "]" * 10_000 + "}}"
    return Package(text, {"a": PAYLOAD})


def _multiplied() -> Package:
    """Ten links in each list, eight lists deep: a hundred million images."""
    lists = [f"l0: ( {raw()} );"]
    for level in range(1, 8):
        ref = f'{{ ref = "#/software/l{level - 1}"; }}'
        lists.append(f"l{level}: ( {', '.join([ref] * 10)} );")
    return Package(" ".join(lists) + ' images: ( { ref = "#/software/l7"; } );', {"a": PAYLOAD})


def _twice_in_json() -> Package:
    return Package(in_json().replace('"type": "raw"', '"type": "rawfile", "type": "raw"'), {"a": PAYLOAD})


def _number(text: str) -> Package:
    """A number as no number is written."""
    return Package(in_json(offset=_MARK).replace(json.dumps(_MARK), text), {"a": PAYLOAD})


_SYNTAX: Final = (
    Case("100,000 images", _many, "member-size", Stock.REFUSES),
    Case(
        "10,000 nested groups",
        package("more = " + "{ a = " * 10_000 + "1;" + " }; " * 10_000 + image()),
        "description-syntax",
        Stock.REFUSES,
    ),
    Case("10,000 nested lists, JSON", _lists, "description-syntax", Stock.REFUSES),
    Case(
        "three megabytes of comments",
        lambda: Package("/* " + "x" * 3_000_000 + " */" + image(), {"a": PAYLOAD}),
        "member-size",
        Stock.INSTALLS,
    ),
    Case(
        "300,000 numbers",
        lambda: Package(f"more = [ {', '.join(['7'] * 300_000)} ]; {image()}", {"a": PAYLOAD}),
        "description-syntax",
        Stock.INSTALLS,
    ),
    Case(
        "an attribute twice",
        package(image('offset = "0"; offset = "4K";')),
        "description-syntax",
        Stock.REFUSES,
    ),
    Case("an attribute twice, JSON", _twice_in_json, "description-syntax", Stock.INSTALLS),
    Case("NaN as offset, JSON", lambda: _number("NaN"), "description-syntax", Stock.INSTALLS),
    Case("an offset of 5000 digits, JSON", lambda: _number("9" * 5000), "description-syntax", Stock.REFUSES),
    Case("an offset of 1e999, JSON", lambda: _number("1e999"), "description-syntax", Stock.INSTALLS),
    Case(
        "a NUL in the text, and more behind it",
        package(f"{image()} \0 {file()}"),
        "description-syntax",
        Stock.REFUSES,
    ),
    Case(
        "a NUL in a filename, JSON",
        package(in_json(filename="a\0b")),
        "description-syntax",
        Stock.INSTALLS,
    ),
    Case(
        "text that is not UTF-8",
        package(image('name = "\udcff\udcfe";')),
        "description-syntax",
        Stock.INSTALLS,
    ),
    Case(
        "an integer beyond 32 bits without L",
        package(image("offset = 4294967296;")),
        "description-syntax",
        Stock.INSTALLS,
    ),
    Case(
        "@include of a file of the device",
        package(f'@include "/etc/passwd"\n{image()}'),
        "description-syntax",
        Stock.REFUSES,
    ),
    Case("neither libconfig nor JSON", package("<software/>"), "description-syntax", Stock.REFUSES),
    Case(
        "an array of mixed types",
        package(f'more = [ 1, "a" ]; {image()}'),
        "description-syntax",
        Stock.REFUSES,
    ),
)

_LINKS: Final = (
    Case("links that multiply to a hundred million images", _multiplied, "description-content", Stock.HANGS),
    Case(
        "two links that lead to each other",
        package(
            'one: { ref = "#/software/two"; }; two: { ref = "#/software/one"; }; '
            'images: ( { ref = "#/software/one"; } );'
        ),
        "description-content",
        Stock.REFUSES,
    ),
    Case(
        "a list that links to itself",
        package('images: ( { ref = "#/software/images"; } );'),
        "description-content",
        Stock.CRASHES,
    ),
    Case(
        "a link that leads nowhere",
        package(f'images: ( {{ ref = "#/software/none"; }}, {raw()} );'),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "a link out of the description",
        package(f'images: ( {{ ref = "#./../../../../none"; }}, {raw()} );'),
        "description-content",
        Stock.REFUSES,
    ),
)

_TYPES: Final = (
    Case(
        "a version that is a number",
        package(in_json().replace('"1.0", "h', '1.0, "h')),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "no version",
        package(in_json().replace('"version": "1.0", ', "")),
        "description-content",
        Stock.REFUSES,
    ),
    Case("a device that is a number", package(image("path = 7;")), "description-content", Stock.INSTALLS),
    Case(
        "an offset in apples", package(image('offset = "12 apples";')), "description-content", Stock.REFUSES
    ),
    Case("a negative offset", package(image('offset = "-4096";')), "description-content", Stock.REFUSES),
    Case(
        "a negative offset, a number", package(image("offset = -4096;")), "description-content", Stock.REFUSES
    ),
    Case(
        "an offset beyond 64 bits",
        package(image('offset = "9223372036854775807G";')),
        "description-content",
        Stock.REFUSES,
    ),
    Case("a negative size", package(image("size = -1;")), "description-content", Stock.REFUSES),
    Case("a size that lies", package(image("size = 5;")), "member-size", Stock.REFUSES),
    Case("a huge size", package(image("size = 9223372036854775807L;")), "member-size", Stock.REFUSES),
    Case(
        "a flag in words",
        package(image('installed-directly = "yes";')),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "an attribute of 300 bytes",
        package(image(f'name = "{"n" * 300}";')),
        "description-content",
        Stock.INSTALLS,
    ),
    Case(
        "a property that is a number",
        package(image("properties: { image-size = 5; };")),
        "description-content",
        Stock.INSTALLS,
    ),
    Case("properties in a list", package(image("properties: ( );")), "description-content", Stock.INSTALLS),
    Case(
        "images that are a text", package(f'images = "none"; {file()}'), "description-content", Stock.INSTALLS
    ),
    Case(
        "an image that is a text",
        package(f'images: ( "none", {raw()} );'),
        "description-content",
        Stock.INSTALLS,
    ),
    Case("nothing to install", package(""), "description-content", Stock.REFUSES),
    Case(
        "an unknown compression",
        package(image('compressed = "brotli";')),
        "description-content",
        Stock.REFUSES,
    ),
    Case("an unknown cipher", package(image('encrypted = "rot13";')), "description-content", Stock.INSTALLS),
    Case(
        "an IV of three digits",
        package(image('encrypted = true; ivt = "123";'), a=bytes(64)),
        "description-content",
        Stock.REFUSES,
        key=True,
    ),
    Case(
        "a sha256 of three digits",
        package(image().replace("@a", "123")),
        "description-content",
        Stock.REFUSES,
    ),
)

_FEATURES: Final = (
    Case("an unknown type", package(image(kind="none")), "description-type", Stock.REFUSES),
    Case(
        "neither type nor device",
        package('images: ( { filename = "a"; sha256 = "@a"; } );'),
        "description-content",
        Stock.REFUSES,
    ),
    Case(
        "raw among the scripts",
        package(script("raw", f'device = "{SLOT}";'), a=PAYLOAD, b=PAYLOAD),
        "description-type",
        Stock.REFUSES,
    ),
    Case(
        "a boot flag among the images", package(image(kind="toggleboot")), "description-type", Stock.REFUSES
    ),
    Case(
        "a shell script among the images",
        package(image(kind="shellscript")),
        "description-type",
        Stock.REFUSES,
    ),
    Case(
        "a script without type, which is Lua",
        package(script().replace('type = "preinstall";', ""), a=PAYLOAD, b=PAYLOAD),
        "feature-absent",
        Stock.REFUSES,
    ),
    Case(
        "Lua in the description",
        package(f'embedded-script = "os.remove(1)"; {image()}'),
        "feature-absent",
        Stock.INSTALLS,
    ),
    Case("a hook in Lua", package(image('hook = "f";')), "feature-absent", Stock.INSTALLS),
    Case(
        "a Lua function before an image",
        package(image('preinstall = "f";')),
        "feature-absent",
        Stock.INSTALLS,
    ),
    Case(
        "a boot variable with a hook",
        package(f'{image()} bootenv: ( {{ name = "a"; value = "b"; hook = "f"; }} );'),
        "feature-absent",
        Stock.INSTALLS,
    ),
    *(
        Case(f"type {kind}", package(text, a=PAYLOAD, b=PAYLOAD), "feature-absent", stock)
        for kind, stock, text in (
            ("ubivol", Stock.CRASHES, image('volume = "rootfs";', kind="ubivol")),
            ("flash", Stock.CRASHES, image('mtdname = "u-boot";', kind="flash")),
            ("remote", Stock.REFUSES, image('data = "other";', kind="remote")),
            (
                "swuforward",
                Stock.HANGS,
                image('properties: { url = [ "http://10.0.0.1" ]; };', kind="swuforward"),
            ),
            ("docker_imageload", Stock.REFUSES, image(kind="docker_imageload")),
            ("ucfw", Stock.REFUSES, image(kind="ucfw")),
            ("lua", Stock.REFUSES, script("lua")),
            ("ssblswitch", Stock.SPOILS, script("ssblswitch")),
            ("docker_containerdelete", Stock.SPOILS, script("docker_containerdelete")),
            (
                "ubipartition",
                Stock.CRASHES,
                'partitions: ( { type = "ubipartition"; device = "mtd1"; name = "a"; size = "1M"; } );',
            ),
            (
                "btrfs",
                Stock.REFUSES,
                f'partitions: ( {{ type = "btrfs"; device = "{SLOT}"; properties: {{ command = '
                f'"create"; path = "x"; }}; }} );',
            ),
        )
    ),
)

_CHOICE: Final = (
    Case(
        "for another revision",
        package(in_json().replace('["1.0"]', '["9.9"]')),
        "hardware-mismatch",
        Stock.REFUSES,
    ),
    Case(
        "for no hardware",
        package(in_json().replace('"hardware-compatibility": ["1.0"], ', "")),
        "hardware-mismatch",
        Stock.REFUSES,
    ),
    Case(
        "a malformed pattern of hardware",
        package(in_json().replace('["1.0"]', '["#RE:(1"]')),
        "description-content",
        Stock.REFUSES,
    ),
    Case(
        "a pattern of hardware that takes ages",
        package(in_json().replace('["1.0"]', '["#RE:(((1?){99}){99}){20}2"]')),
        "description-content",
        Stock.CRASHES,
    ),
    Case(
        "without the set and mode that were asked for",
        package(image()),
        "selection-missing",
        Stock.INSTALLS,
        options=("--select", "stable,copy-b"),
    ),
    Case(
        "an older version",
        package(image()),
        "version-refused",
        Stock.REFUSES,
        options=("--no-downgrading", "2.0"),
    ),
    Case(
        "the same version again",
        package(image()),
        "version-refused",
        Stock.REFUSES,
        options=("--no-reinstalling", "1.0"),
    ),
    Case(
        "a newer version than allowed",
        package(image()),
        "version-refused",
        Stock.REFUSES,
        options=("--max-version", "0.9"),
    ),
    Case(
        "an update of an unknown type",
        package(f'update-type = "other"; {image()}'),
        "update-type",
        Stock.INSTALLS,
    ),
)

GROUPS: Final = {
    "The text": _SYNTAX,
    "Links": _LINKS,
    "Types of values": _TYPES,
    "Features and handlers": _FEATURES,
    "Another device, another version": _CHOICE,
}
