"""Typed reading of a sw-description's attributes: the value, None where it is absent, or a refusal.

Stock SWUpdate warns of a wrong type, ignores the attribute and installs something else than was meant;
here it is refused. `where` names the attribute in messages. Types: SWUpdate's sw-description.rst,
"Attribute reference", and parse_common_attributes in its parser.c.
"""

from __future__ import annotations

import re
import reprlib
from typing import Final, NoReturn

from ota.errors import UpdateError
from ota.formats.description import MAX_TEXT

MAX_LENGTH: Final = (1 << 63) - 1

# ustrtoull in SWUpdate's core/util.c; it would also read octal, which nobody means.
_LENGTH: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,18})(?:([KMG])(?:iB?)?)?", re.IGNORECASE)
_UNIT: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def refuse(
    what: str, *, expected: str | None = None, found: object = None, hint: str | None = None
) -> NoReturn:
    """Raise UpdateError("description-content"); what was found is shortened."""
    shown = None if found is None else reprlib.repr(found)
    what = f"sw-description: {what}"
    raise UpdateError("description-content", what, expected=expected, found=shown, hint=hint)


def text(value: object, where: str, limit: int = MAX_TEXT) -> str | None:
    """A string; an empty one is no string, as in SWUpdate."""
    if value is not None and not isinstance(value, str):
        refuse(f"{where} has a wrong type", expected="a string", found=value, hint=_quoted(value))
    if value and len(value.encode()) > limit:
        refuse(f"{where} is too long", expected=f"at most {limit} bytes", found=len(value.encode()))
    return value or None


def texts(value: object, where: str) -> tuple[str, ...]:
    """A list of strings."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        refuse(f"{where} has a wrong type", expected="a list of strings", found=value)
    return tuple(value)


def flag(value: object, where: str, *, default: bool) -> bool:
    """A truth value."""
    if value is not None and not isinstance(value, bool):
        refuse(f"{where} has a wrong type", expected="true or false", found=value)
    return default if value is None else value


def length(value: object, where: str) -> int | None:
    """Bytes: an integer, or a string that may end in K, M or G."""
    if value is None or value == "":
        return None
    number = -1
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (match := _LENGTH.fullmatch(value)):
        number = int(match[1], 0) * _UNIT[(match[2] or "").upper()]
    if not 0 <= number <= MAX_LENGTH:
        expected = f"a number from 0 to {MAX_LENGTH}, as a string also with K, M or G"
        refuse(f"{where} is not a length", expected=expected, found=value)
    return number


def hexadecimal(value: object, where: str, *lengths: int) -> str | None:
    """So many hex digits, in lower case."""
    digits = text(value, where)
    if digits and (len(digits) not in lengths or not re.fullmatch("[0-9a-fA-F]+", digits)):
        expected = " or ".join(map(str, lengths))
        refuse(f"{where} is wrong", expected=f"{expected} hex digits", found=digits)
    return digits.lower() if digits else None


def properties(value: object, where: str) -> dict[str, tuple[str, ...]]:
    """A group of strings and lists of strings. SWUpdate drops anything else in it without a word."""
    if value is not None and not isinstance(value, dict):
        refuse(f"{where}: properties has a wrong type", expected="a group", found=value)
    found: dict[str, tuple[str, ...]] = {}
    for name, content in (value or {}).items():
        strings = content if isinstance(content, list) else [content]
        if not all(isinstance(string, str) for string in strings):
            what = f"{where}: property {reprlib.repr(name)} has a wrong type"
            refuse(what, expected="a string or strings", found=content, hint=_quoted(content))
        found[name] = tuple(strings)
    return found


def _quoted(value: object) -> str | None:
    """What a number or truth value should have been written as."""
    return f'write "{str(value).lower()}"' if isinstance(value, bool | int | float) else None
