"""Typed reading of a sw-description's attributes: the value, None where it is absent, or a refusal.

Stock SWUpdate warns of a wrong type, ignores the attribute and installs something else than was meant;
here it is refused. `where` names the attribute in messages. Types: SWUpdate's sw-description.rst,
"Attribute reference", and parse_common_attributes in its parser.c.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from ota.errors import UpdateError
from ota.formats.description import MAX_TEXT

MAX_LENGTH: Final = (1 << 63) - 1

# ustrtoull in SWUpdate's core/util.c; it would also read octal, which nobody means.
_NUMBER: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,18})(?:([KMG])(?:iB?)?)?", re.IGNORECASE)
_UNIT: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def refuse(
    what: str, *, expected: str | None = None, found: object = None, hint: str | None = None
) -> NoReturn:
    raise UpdateError(
        "description-content", f"sw-description: {what}", expected=expected, found=found, hint=hint
    )


def text(value: object, where: str, limit: int = MAX_TEXT) -> str | None:
    """A string; an empty one is no string, as in SWUpdate."""
    if value is not None and not isinstance(value, str):
        refuse(f"{where} has a wrong type", expected="a string", found=repr(value), hint=_quoted(value))
    if value and len(value.encode()) > limit:
        refuse(f"{where} is too long", expected=f"at most {limit} bytes", found=len(value.encode()))
    return value or None


def texts(value: object, where: str) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not isinstance(value, list | None) or not all(isinstance(text, str) for text in texts):
        refuse(f"{where} has a wrong type", expected="a list of strings", found=repr(value))
    return tuple(texts)


def flag(value: object, where: str, *, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        refuse(f"{where} has a wrong type", expected="true or false", found=repr(value))
    return value


def length(value: object, where: str) -> int | None:
    """A length: an integer, or a string that may end in K, M or G."""
    number = -1
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (match := _NUMBER.fullmatch(value)):
        number = int(match[1], 0) * _UNIT[(match[2] or "").upper()]
    if not 0 <= number <= MAX_NUMBER:
        expected = f"a number from 0 to {MAX_NUMBER}, as a string also with K, M or G"
        refuse(f"{where} is not a length", expected=expected, found=repr(value))
    return number


def digest(value: object, where: str) -> str | None:
    digest = text(value, where)
    if digest and not re.fullmatch("[0-9a-fA-F]{64}", digest):
        refuse(f"{where} is not a digest", expected="64 hex digits", found=repr(digest))
    return digest.lower() if digest else None


def properties(value: object, where: str) -> dict[str, tuple[str, ...]]:
    if value is not None and not isinstance(value, dict):
        refuse(f"{where}: properties has a wrong type", expected="a group", found=repr(value))
    properties: dict[str, tuple[str, ...]] = {}
    for name, content in (value or {}).items():
        texts = content if isinstance(content, list) else [content]
        if not all(isinstance(text, str) for text in texts):
            # SWUpdate drops them without a word.
            what = f"{where}: property {name!r} has a wrong type"
            refuse(what, expected="a string or strings", found=repr(content), hint=_quoted(content))
        properties[name] = tuple(texts)
    return properties


def _quoted(value: object) -> str | None:
    """What a number or truth value would have to be written as."""
    if not isinstance(value, bool | int | float):
        return None
    return f'write "{str(value).lower()}"'


