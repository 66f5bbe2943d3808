"""Variables of the boot loader, and others (sw-description.rst, "bootloader", "SWUpdate persistent variables")."""

from __future__ import annotations

from typing import Final

from ota.tests.conformance.case import BOOT, DISK, Case, Environment, Rest, Stock, image, images, in_json

_EARLIER: Final = "refused before the first write; stock finds out half way"


def _bootenv(name: str, *elements: str, section: str = "bootenv", **more: Rest) -> Case:
    text = f"{section}: ( {', '.join(elements)} );"
    more = {"changes": (), **more}
    return Case("bootenv", name, text, **more)


def _vars(name: str, *elements: str, more_text: str = "", **more: Rest) -> Case:
    text = f"{more_text} {images(image())} vars: ( {', '.join(elements)} );"
    more = {"environment": Environment.NAMESPACES, **more}
    return Case("vars", name, text, **more)


def set_to(name: str, value: str) -> str:
    return f'{{ name = "{name}"; value = "{value}"; }}'


_BOOTENV: Final = (
    _bootenv("one", set_to("found", "x")),
    _bootenv("several", set_to("one", "1"), set_to("two", "2"), set_to("boot_slot", "b")),
    _bootenv("as uboot", set_to("found", "x"), section="uboot"),
    Case("bootenv", "bootenv and uboot", f'bootenv: ( {set_to("one", "1")} ); uboot: ( {set_to("two", "2")} );',
         changes=()),
    _bootenv("one copy of the environment", set_to("found", "x"), environment=Environment.SINGLE),
    _bootenv("unset by an empty value", set_to("old", "")),
    _bootenv("unset by no value", '{ name = "old"; }'),
    _bootenv("unset what is not set", set_to("nosuch", "")),
    _bootenv("twice", set_to("found", "first"), set_to("found", "second")),
    _bootenv("twice, set and unset", set_to("old", "first"), set_to("old", "")),
    _bootenv("value with blanks", set_to("bootcmd", "run a; run  b ;")),
    _bootenv("value with =", set_to("bootargs", "root=/dev/mmcblk0p3 ro")),
    _bootenv("value with $, quotes and backslash", set_to("bootcmd", "echo ${x} 'y' \\\\\\\"z\\\\\\\" \\\\\\\\")),
    _bootenv("value with #", set_to("found", "a # b")),
    _bootenv("value that starts with a blank", set_to("found", " x")),
    _bootenv("value that ends with a blank", set_to("found", "x ")),
    _bootenv("value of 255 characters", set_to("found", "v" * 255)),
    _bootenv("value of 300 characters", set_to("found", "v" * 300), code="description-content",
             reason="stock cuts it"),
    _bootenv("name that starts with #", set_to("#found", "x"), code="description-content",
             reason="no name of a variable; stock takes it for a comment"),
    _bootenv("SWUpdate's own", set_to("ustate", "5"), set_to("recovery_status", "mine")),
    _bootenv("SWUpdate's own, markers off", set_to("ustate", "5")),
    _bootenv("no name", '{ value = "x"; }', stock=Stock.REFUSED, code="description-content"),
    _bootenv("empty name", '{ name = ""; value = "x"; }', code="description-content",
             reason="a variable without a name is a mistake"),
    _bootenv("value is a number", '{ name = "found"; value = 5; }', code="description-content",
             reason="a wrong type is a mistake; stock unsets the variable"),
    _bootenv("name with =", set_to("a=b", "x"), code="description-content", reason="no name of a variable"),
    _bootenv("value with a line break", set_to("found", "a\\nb=c"), code="description-content",
             reason="stock sets another variable with it"),
    _bootenv("with an image", set_to("found", "x"), section=f"{images(image())} bootenv", changes=(DISK,)),
)  # fmt: skip

_VARS: Final = (
    _vars("one", set_to("found", "x")),
    _vars("several, one unset", set_to("one", "1"), set_to("old", "")),
    _vars("namespace-for-vars", set_to("found", "x"), more_text='namespace-for-vars = "app";'),
    _vars("another namespace", set_to("found", "x"), more_text='namespace-for-vars = "uboot";'),
    _vars("no such namespace", set_to("found", "x"), more_text='namespace-for-vars = "nosuch";',
          stock=Stock.REFUSED, code="boot-environment", differs=(BOOT, DISK), reason=_EARLIER),
    _vars("no namespace at all", set_to("found", "x"), environment=Environment.REDUNDANT,
          stock=Stock.REFUSED, code="config-key", differs=(BOOT, DISK), reason=_EARLIER),
    _vars("no name", '{ value = "x"; }', stock=Stock.REFUSED, code="description-content"),
)  # fmt: skip

VARIABLES: Final = (*_BOOTENV, *map(in_json, (*_BOOTENV[:2], *_BOOTENV[6:9])), *_VARS)
