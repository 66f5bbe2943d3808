"""Versions and hardware: what is compared with what the device has, and how (SWUpdate: core/artifacts_versions.c,
core/semver.c, core/hw-compatibility.c; swupdate.rst, options -N, -R and --max-version)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ota.tests.conformance.case import DATA, Case, Rest, Stock, image, images, in_json

_REFUSED: Final = (Stock.REFUSED, "version-refused")
_TAKEN: Final = (Stock.INSTALLED, None)


def _software(version: str, hardware: str = '[ "1.0" ]', more: str = "") -> str:
    return f'software = {{ version = "{version}"; hardware-compatibility: {hardware}; {more} {images(image())} }};'


# Version of the update, of the device, what its order is: less, equal or greater.
_ORDER: Final = (
    ("1.0", "1.0", "="), ("1.0", "2.0", "<"), ("2.0", "1.0", ">"), ("1.10", "1.9", ">"), ("1.2", "1.2.0", "="),
    ("1.2.3.4", "1.2.3.5", "<"), ("1.2.3.4", "1.2.3.4", "="), ("1", "1.0.0.0", "="), ("01.2", "1.2", "="),
    ("1.0.0", "1.0.0-rc1", ">"), ("1.0.0-rc1", "1.0.0-rc2", "<"), ("1.0.0-rc.2", "1.0.0-rc.10", "<"),
    ("1.0.0-alpha", "1.0.0-alpha.1", "<"), ("1.0.0-1", "1.0.0-alpha", "<"), ("1.0.0+1", "1.0.0+2", "="),
    ("65535.1", "65534.9", ">"), ("65536.0", "1.0", ">"), ("70000.0", "65535.0", ">"), ("1.2.3.4.5", "1.2.3.4", "="),
    ("v1.0", "v1.1", "<"), ("v2", "v10", ">"), ("2024.12", "2025.01", "<"), ("abc", "abd", "<"), ("1.0-2", "1.0-10", "<"),
    ("1.0.0-rc1", "1.0", "<"), ("1.x", "1.0", ">"), ("B", "a", "<"), ("1..2", "1.2", "="), ("1.2.", "1.2", "="),
    ("-1", "1", "<"), ("1 ", "1", ">"),
)  # fmt: skip


def _ordered() -> Iterator[Case]:
    for new, old, order in _ORDER:
        for option, refused in (("--no-downgrading", "<"), ("--max-version", ">")):
            stock, code = _REFUSED if order == refused else _TAKEN
            yield Case(
                "versions", f"{option} {old!r}, new {new!r}", _software(new), stock=stock, code=code,
                options=(option, old),
            )  # fmt: skip
        stock, code = _REFUSED if new == old else _TAKEN
        if order == "=":
            yield Case(
                "versions", f"--no-reinstalling {old!r}, new {new!r}", _software(new), stock=stock, code=code,
                options=("--no-reinstalling", old),
            )  # fmt: skip


def _installed(rule: str, name: str, new: str, **has: str) -> Case:
    """One part of the software has a version and a rule, another has none."""
    version = f'version = "{new}";' if new else ""
    text = images(image(f'name = "n"; {version} {rule} = true;'), image("offset = 2097152;", name="b"))
    return Case(rule, name, text, {"a": DATA, "b": b"b" * 5000}, installed=has)


_DIFFERENT: Final = (
    _installed("install-if-different", "same version", "1.0", n="1.0"),
    _installed("install-if-different", "another version", "1.1", n="1.0"),
    _installed("install-if-different", "lower version", "0.9", n="1.0"),
    _installed("install-if-different", "equal, written otherwise", "1.0.0", n="1.0"),
    _installed("install-if-different", "other part", "1.0", m="1.0"),
    _installed("install-if-different", "no version", "", n="1.0"),
    _installed("install-if-different", "text", "abc", n="abc"),
)  # fmt: skip

_HIGHER: Final = (
    _installed("install-if-higher", "same version", "1.0", n="1.0"),
    _installed("install-if-higher", "higher version", "1.1", n="1.0"),
    _installed("install-if-higher", "lower version", "0.9", n="1.0"),
    _installed("install-if-higher", "higher, ten", "1.10", n="1.9"),
    _installed("install-if-higher", "other part", "1.0", m="1.0"),
    _installed("install-if-higher", "pre-release", "1.0.0-rc1", n="1.0.0"),
)  # fmt: skip

_RULES: Final = (
    *_DIFFERENT,
    *_HIGHER,
    Case("install-if-different", "false", images(image('name = "n"; version = "1.0"; install-if-different = false;')),
         installed={"n": "1.0"}),
    Case("install-if-different", "no name", images(image('version = "1.0"; install-if-different = true;')),
         installed={"n": "1.0"}),
    Case("install-if-different", "nothing is left to install",
         images(image('name = "n"; version = "1.0"; install-if-different = true;')), installed={"n": "1.0"},
         stock=Stock.REFUSED, reason="there is nothing to do; stock calls it an error", differs=("boot",)),
    Case("install-if-different", "only variables are left",
         images(image('name = "n"; version = "1.0"; install-if-different = true;'))
         + 'bootenv: ( { name = "found"; value = "x"; } );', installed={"n": "1.0"}, changes=()),
    Case("install-if-different", "the skipped file is not in the archive",
         images(image('name = "n"; version = "1.0"; install-if-different = true;', "gone").replace("@gone", "@a"),
                image()), installed={"n": "1.0"}),
)  # fmt: skip


def _hardware(name: str, revisions: str, *, fits: bool, **more: Rest) -> Case:
    stock, code = (Stock.INSTALLED, None) if fits else (Stock.REFUSED, "hardware-mismatch")
    more = {"stock": stock, "code": code, **more}
    return Case("hardware-compatibility", name, _software("1.0", revisions), **more)


_HARDWARE: Final = (
    _hardware("one", '[ "1.0" ]', fits=True),
    _hardware("one of several", '[ "0.9", "1.0", "2.0" ]', fits=True),
    _hardware("none of several", '[ "0.9", "2.0" ]', fits=False),
    _hardware("board and revision", '[ "demo:1.0" ]', fits=False),
    _hardware("a part of the revision", '[ "1" ]', fits=False),
    _hardware("empty", "[ ]", fits=False),
    _hardware("list", '( "1.0" )', fits=True),
    _hardware("string", '"1.0"', fits=False, code="description-content"),
    _hardware("number", "[ 1 ]", fits=False, code="description-content"),
    _hardware("pattern", '[ "#RE:^1\\\\.[0-9]$" ]', fits=True),
    _hardware("pattern that does not fit", '[ "#RE:^2\\\\.[0-9]$" ]', fits=False),
    _hardware("pattern for a part", '[ "#RE:\\\\.0" ]', fits=True),
    _hardware("pattern with alternatives", '[ "#RE:^(1|2)[.]0$" ]', fits=True),
    _hardware("pattern with braces", '[ "#RE:^[0-9]{1}.[0-9]{1}$" ]', fits=True),
    _hardware("pattern for anything", '[ "#RE:.*" ]', fits=True),
    _hardware("empty pattern", '[ "#RE:" ]', fits=True),
    _hardware("pattern and literal", '[ "#RE:^9$", "1.0" ]', fits=True),
    _hardware("pattern with a class", '[ "#RE:^[[:digit:]][.]0$" ]', fits=True, code="description-content",
              reason="read by Python's expressions; what those read otherwise is refused"),
    _hardware("malformed pattern", '[ "#RE:(1" ]', fits=False, code="description-content"),
    Case("hardware-compatibility", "none", f'software = {{ version = "1.0"; {images(image())} }};',
         stock=Stock.REFUSED, code="hardware-mismatch"),
)  # fmt: skip

_WIDE: Final = "a number beyond 32 bits is not lower than 1; stock cuts it"
_OTHERS: Final = (
    Case("versions", "--no-downgrading '1.0', new '4294967296.0'", _software("4294967296.0"), stock=Stock.REFUSED,
         twin=_software("2.0"), options=("--no-downgrading", "1.0"), reason=_WIDE),
    Case("versions", "--max-version '1.0', new '4294967296.0'", _software("4294967296.0"), code="version-refused",
         options=("--max-version", "1.0"), reason=_WIDE),
    Case("update-type", "one that the device does not know", f'update-type = "security"; {images(image())}',
         code="update-type", reason="of SWUpdate 2025 and later; 2024.12 ignores it"),
)  # fmt: skip

VERSIONS: Final = (*_ordered(), *_RULES, *map(in_json, (_DIFFERENT[0], _HIGHER[1])), *_HARDWARE,
                   *map(in_json, (*_HARDWARE[:3], _HARDWARE[9])), *_OTHERS)  # fmt: skip
