"""Where sections and common fields are looked for, and links (sw-description.rst, "Priority finding the
elements in the file", "Using links")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ota.tests.conformance.case import (
    BOOT,
    DATA,
    DISK,
    FOLDER,
    Case,
    Environment,
    Rest,
    Stock,
    image,
    images,
    in_json,
)  # fmt: skip

# From the most to the least preferred. With --select there has to be one of the first two.
_PLACES: Final = ("board.set.mode", "set.mode", "board", "root")
_SELECT: Final = ("--select", "stable,copy-b")
_MEMBERS: Final = {name: name.encode() * 1000 for name in _PLACES}
_SCRIPT: Final = b'#!/bin/sh\necho "$0 $@" | sed "s,.*/,," >> /mnt/log\n'


def _section(name: str, place: str) -> str:
    """A section that shows by its effect where it stood."""
    digest = f'filename = "{place}"; sha256 = "@{place}";'
    return {
        "images": images(image(name=place)),
        "files": f'files: ( {{ {digest} path = "/mnt/etc/found"; }} );',
        "scripts": f'scripts: ( {{ {digest} type = "shellscript"; }} );',
        "bootenv": f'bootenv: ( {{ name = "found"; value = "{place}"; }} );',
        "uboot": f'uboot: ( {{ name = "found"; value = "{place}"; }} );',
        "vars": f'vars: ( {{ name = "found"; value = "{place}"; }} );',
    }[name]


def _everywhere(parts: dict[str, str], common: str = "") -> str:
    """A sw-description with this in those places. Board's and set's groups are merged."""
    board = parts.get("board", "")
    if "board.set.mode" in parts:
        board += f" stable = {{ copy-b = {{ {parts['board.set.mode']} }}; }};"
    text = f"demo = {{ {board} }};" if board else ""
    if "set.mode" in parts:
        text += f" stable = {{ copy-b = {{ {parts['set.mode']} }}; }};"
    return f"software = {{ {common} {parts.get('root', '')} {text} }};"


_COMMON: Final = 'version = "1.0"; hardware-compatibility: [ "1.0" ];'


def _options(place: str) -> tuple[str, ...]:
    return _SELECT if place.endswith("mode") else ()


def _sections() -> Iterator[Case]:
    """A section stands in one place and in all that are less preferred: the first one counts."""
    changes = {
        "images": (DISK,),
        "files": (FOLDER,),
        "scripts": (FOLDER,),
        "bootenv": (),
        "uboot": (),
        "vars": (DISK,),
    }
    for section, changed in changes.items():
        for number, place in enumerate(_PLACES):
            parts = {lower: _section(section, lower) for lower in _PLACES[number:]}
            beside = (
                images(image(name="root")) if section == "vars" else ""
            )  # vars alone are nothing to install
            yield Case(
                "search order",
                f"{section} in {place}",
                _everywhere(parts, f"{_COMMON} {beside}"),
                dict.fromkeys(_PLACES, _SCRIPT) if section == "scripts" else _MEMBERS,
                changes=changed,
                options=_options(place),
                environment=Environment.NAMESPACES if section == "vars" else Environment.REDUNDANT,
            )


def _fields() -> Iterator[Case]:
    """A common field stands in one place, and says otherwise in all that are less preferred."""
    revision, version = 'hardware-compatibility: [ "{}" ];', 'version = "{}";'
    for number, place in enumerate(_PLACES):
        for name, code, field, other, good, bad in (
            ("hardware-compatibility", "hardware-mismatch", revision, version.format("2.0"), "1.0", "9"),
            ("version", "version-refused", version, revision.format("1.0"), "2.0", "0.1"),
        ):
            for first, second in ((good, bad), (bad, good)):
                parts = dict.fromkeys(_PLACES[number:], field.format(second))
                parts[place] = field.format(first) + _section("images", place)
                fits = first == good
                yield Case(
                    "search order",
                    f"{name} in {place}, {'right' if fits else 'wrong'}",
                    _everywhere(parts, other),
                    _MEMBERS,
                    stock=Stock.INSTALLED if fits else Stock.REFUSED,
                    code=None if fits else code,
                    options=(*_options(place), "--no-downgrading", "1.0"),
                )
        for marker in ("bootloader_transaction_marker", "bootloader_state_marker"):
            parts = dict.fromkeys(_PLACES[number:], f"{marker} = true;")
            parts[place] = f"{marker} = false;" + _section("images", place)
            text = _everywhere(parts, _COMMON)
            yield Case("search order", f"{marker} in {place}", text, _MEMBERS, options=_options(place))


def _root(text: str) -> str:
    return f"software = {{ {_COMMON} {text} }};"


_B: Final = image("offset = 1048576;", name="b")
_LINK_MEMBERS: Final = {"a": DATA, "b": b"b" * 7000}


def _link(name: str, text: str, **more: Rest) -> Case:
    return Case("links", name, _root(text), _LINK_MEMBERS, **more)


_FREED: Final = "as its documentation has it; 2024.12 frees the path that it goes on to use"
_COMMON_LIST: Final = f"common: ( {image()} );"
_FILE: Final = '{ filename = "a"; sha256 = "@a"; path = "/mnt/etc/found"; }'


def _linked(ref: str) -> str:
    return f'{{ ref = "{ref}"; }}'


_LINKS: Final = (
    _link("group of a mode",
          f"stable = {{ copy-a = {{ {images(image())} }}; copy-b = {_linked('#./copy-a')}; }};",
          options=_SELECT, stock=Stock.REFUSED, twin=_root(images(image())), reason=_FREED),
    _link("mode of another set",
          f"other = {{ m = {{ {images(image())} }}; }}; stable = {{ copy-b = {_linked('#./../other/m')}; }};",
          options=_SELECT, stock=Stock.REFUSED, twin=_root(images(image())), reason=_FREED),
    _link("list of elements, ./", f"{images(_linked('#./common'))} common: ( {image()}, {_B} );"),
    _link("list of elements, ./../",
          f"stable = {{ copy-b = {{ {images(_linked('#./../common'))} }}; {_COMMON_LIST} }};", options=_SELECT),
    _link("an element between others",
          images(_B, _linked("#./common"), image("offset = 2097152;", name="b")) + _COMMON_LIST),
    _link("absolute", images(_linked("#/software/common")) + _COMMON_LIST),
    _link("section as a group with a link", f"images: {_linked('#./common')}; {_COMMON_LIST}"),
    _link("of bootenv", images(image()) + f"bootenv: ( {_linked('#./common')} );"
          'common: ( { name = "found"; value = "x"; } );'),
    _link("of files", f"files: ( {_linked('#./common')} ); common: ( {_FILE} );", changes=(FOLDER,)),
    _link("chain of three", images(_linked("#./one")) + f"one: ( {_linked('#./two')} );"
          f"two: ( {_linked('#./common')} ); {_COMMON_LIST}"),
    _link("nowhere", images(_linked("#./gone"), image()), code="description-content",
          reason="something was meant to be installed; stock passes over it"),
    _link("without #", images(_linked("./common")) + _COMMON_LIST, stock=Stock.REFUSED,
          code="description-content"),
    _link("to itself", images(_linked("#./images")), stock=Stock.CRASHES, code="description-content"),
)  # fmt: skip

_OTHERS: Final = (
    Case("search order", "selection that is not there", _root(images(image())), options=_SELECT,
         code="selection-missing", reason="what was asked for is not there; stock falls back to the root"),
    Case("search order", "a mode that was not selected",
         _everywhere({place: _section("images", place) for place in ("set.mode", "root")}, _COMMON),
         _MEMBERS, differs=(DISK,),
         reason="without --select ours takes the board's set and the slot that does not run"),
    Case("search order", "sections in different places", _everywhere({
             "board.set.mode": _section("images", "board.set.mode"), "set.mode": _section("bootenv", "set.mode"),
             "board": _section("files", "board"),
         }, _COMMON), _MEMBERS, options=_SELECT, changes=(DISK, FOLDER)),
    Case("search order", "another board's groups",
         _root(images(image()) + f"other = {{ {images(_B)} }};"), _LINK_MEMBERS),
    Case("search order", "nothing at all", _root(""), stock=Stock.REFUSED, code="description-content"),
    Case("search order", "another root", 'firmware = { version = "1.0"; hardware-compatibility: [ "1.0" ]; };',
         stock=Stock.REFUSED, code="description-content"),
    Case("search order", "variables only", _root('bootenv: ( { name = "found"; value = "x"; } );'), changes=()),
    Case("search order", "vars only", _root('vars: ( { name = "found"; value = "x"; } );'),
         stock=Stock.REFUSED, environment=Environment.NAMESPACES, differs=(BOOT,),
         reason="they are something to install; stock does not count them"),
    Case("search order", "no version", f'software = {{ hardware-compatibility: [ "1.0" ]; {images(image())} }};',
         stock=Stock.REFUSED, code="description-content"),
)  # fmt: skip

_GROUP: Final = _link("to a group", f'images: ( {{ ref = "#./common"; }} ); common = {image()};')
_GROUPS: Final = (
    replace(_GROUP, stock=Stock.REFUSED, twin=_root(images(image())),
            reason="a list of one was meant; stock reads it so in JSON, but not in libconfig"),
    in_json(_GROUP),
)  # fmt: skip

SEARCH: Final = (*_sections(), *_fields(), *_LINKS, *map(in_json, _LINKS), *_GROUPS, *_OTHERS)
