"""The text of a sw-description: libconfig or JSON in, a plain tree out, and back in either form.

The grammar is libconf's. This module refuses in addition what libconfig, the C library under stock SWUpdate,
refuses or reads as something else, so that a text never means one thing there and another here:

- `@include`, a name twice in one group, a comma before `)` or `]`, arrays of mixed types;
- integers beyond 32 bits without `L`, which libconfig 1.5 wraps to another number;
- escapes that the two read differently: `\\'`, `\\a`, `\\b`, `\\v`, `\\X..`, `\\x00`, `\\x80` to `\\xff`.

Lists `( )` and arrays `[ ]` both become lists. JSON's null has no counterpart and is refused. Format:
libconfig manual, "Configuration Files"; SWUpdate's sw-description.rst.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NoReturn

import libconf

from ota.errors import ConfigError, UpdateError

Tree = Mapping[str, object]  # dict, list, str, int, float and bool, all the way down

MAX_SIZE: Final = 1 << 20  # bytes; some 2000 entries
MAX_TOKENS: Final = 1 << 17  # of libconfig; libconf keeps them all, some 25 MB
MAX_DEPTH: Final = 32  # nested groups and lists; board, set, mode, section, element, properties are 7
MAX_TEXT: Final = 255  # bytes; SWUpdate cuts longer attributes (SWUPDATE_GENERAL_STRING_SIZE is 256)


class Form(StrEnum):
    """A syntax of the sw-description."""

    LIBCONFIG = "libconfig"
    JSON = "json"


_OPENING: Final = {"{": "}", "(": ")", "[": "]"}
# One escape of a string, as libconf reads it or as C libconfig does.
_ESCAPE: Final = re.compile(r"\\(x..|.)", re.DOTALL)
_AGREED: Final = re.compile(r"\\(?:x(?!00)[0-7][0-9A-Fa-f]|[^'abvxX])", re.DOTALL)


def parse(data: bytes) -> Tree:
    """Read a sw-description: as JSON where it starts with `{`, which no libconfig text does.

    Raises:
        UpdateError: description-syntax, naming row and column where they are known.
    """
    if len(data) > MAX_SIZE:
        raise UpdateError(
            "description-syntax",
            "the sw-description is too large",
            expected=f"at most {MAX_SIZE} bytes",
            found=len(data),
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        _refuse(f"not UTF-8 at byte {error.start}", cause=error)
    tree = _parse_json(text) if text.lstrip().startswith("{") else _parse_libconfig(text)
    plain = _plain(tree, 0)
    assert isinstance(plain, dict)  # both grammars have a group at the top
    return plain


def render(tree: Tree, form: Form = Form.LIBCONFIG) -> bytes:
    """Write a tree in its own order, for stock SWUpdate and `parse` alike.

    In libconfig a list of scalars of one type becomes an array, any other a list. In JSON an integer that
    needs more than 32 bits becomes a string, because SWUpdate reads no more than those (get_value_json in its
    corelib/parsing_library_libjson.c).

    Raises:
        ConfigError: release-content, where SWUpdate would drop or cut a value, or `form` has no such value.
    """
    check_values(tree)
    meant = _for_json(tree) if form is Form.JSON else tree
    try:
        data = _WRITERS[form](meant).encode()
        # What was written must mean what was given; the parser's bounds hold for the writer as well.
        if parse(data) != meant:
            raise ConfigError("release-content", "the sw-description cannot be written without loss")
    except (libconf.ConfigSerializeError, TypeError, ValueError, UpdateError, RecursionError) as error:
        raise ConfigError("release-content", f"the sw-description cannot be written: {error}") from error
    return data


def check_values(tree: Tree) -> None:
    """Refuse what libconfig or stock SWUpdate would silently drop or cut.

    Raises:
        ConfigError: release-content.
    """
    try:
        _check_values("", tree)
    except RecursionError as error:
        raise ConfigError("release-content", f"the sw-description cannot be written: {error}") from error


def _refuse(what: str, *, hint: str | None = None, cause: BaseException | None = None) -> NoReturn:
    raise UpdateError("description-syntax", f"sw-description: {what}", hint=hint) from cause


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_group)
    except json.JSONDecodeError as error:
        _refuse(f"row {error.lineno}, column {error.colno}: {error.msg}", cause=error)
    except RecursionError as error:
        _refuse(f"nested deeper than {MAX_DEPTH}", cause=error)
    except ValueError as error:  # an integer of thousands of digits
        _refuse(str(error), cause=error)


def _group(pairs: list[tuple[str, object]]) -> dict[str, object]:
    group: dict[str, object] = {}
    for name, value in pairs:
        if name in group:
            _refuse(f"{reprlib.repr(name)} stands twice in one group")
        group[name] = value
    return group


def _parse_libconfig(text: str) -> object:
    # TokenStream.from_file would follow @include; the tokenizer alone knows no such word.
    tokenizer = libconf.Tokenizer("sw-description")
    try:
        tokens = libconf.TokenStream(_agreed(tokenizer.tokenize(text)))
        return libconf.Parser(tokens).parse()
    except libconf.ConfigParseError as error:
        hint = "@include is not followed" if "'@include" in str(error) else None
        _refuse(str(error), hint=hint, cause=error)
    except (ValueError, RecursionError) as error:  # "a = .", "a = 08", "\xzz"
        _refuse(f"row {tokenizer.row}, column {tokenizer.column}: {error}", cause=error)


def _agreed(tokens: Iterable[libconf.Token]) -> Iterator[libconf.Token]:
    """Pass on tokens while C libconfig would read the same from them."""
    open_brackets: list[str] = []
    names: list[set[str]] = [set()]  # of each open group
    element_type: str | None = None  # of the open array
    before: libconf.Token | None = None
    for count, token in enumerate(tokens):
        fault = _fault(token) if count < MAX_TOKENS else f"more than {MAX_TOKENS} tokens"
        if token.type in _OPENING:
            open_brackets.append(token.type)
            names.append(set())
            element_type = None
            if len(open_brackets) > MAX_DEPTH:
                fault = f"nested deeper than {MAX_DEPTH}"
        elif token.type in _OPENING.values():
            if open_brackets:
                open_brackets.pop()
                names.pop()
            if token.type != "}" and before is not None and before.type == ",":
                fault = f"a comma before {token.type!r}"
        elif token.type == "name":
            if token.text in names[-1]:
                fault = f"{token.text!r} stands twice in one group"
            names[-1].add(token.text)
        elif open_brackets and open_brackets[-1] == "[" and token.type != ",":
            kind = token.type.replace("hex", "integer")
            if element_type not in (None, kind):
                fault = "an array of mixed types"
            element_type = kind
        if fault:
            _refuse(f"row {token.row}, column {token.column}: {fault}")
        before = token
        yield token


def _fault(token: libconf.Token) -> str | None:
    """Why C libconfig would refuse this token or read another value from it; None if it agrees."""
    if token.type == "string":
        for escape in _ESCAPE.finditer(token.text):
            if not _AGREED.fullmatch(escape[0]):
                return f"the escape {escape[0]!r} is not read alike everywhere; write the character itself"
    elif not token.text.isascii():
        return f"a number in other than ASCII digits: {token.text!r}"
    elif token.type in ("integer", "hex") and not _fits(token.value, 32):
        return f"{token.text} does not fit 32 bits; write {token.text}L, or a string"
    return None


def _fits(number: int, bits: int) -> bool:
    return -(1 << bits - 1) <= number < 1 << bits - 1


def _plain(value: object, depth: int) -> object:
    """The same tree in plain types, within the bounds."""
    if depth > MAX_DEPTH and isinstance(value, dict | list | tuple):
        _refuse(f"nested deeper than {MAX_DEPTH}")
    match value:
        case bool():
            return value
        case int() if _fits(value, 64):
            return int(value)
        case float() if math.isfinite(value):
            return value
        case str() if "\0" not in value and not re.search("[\ud800-\udfff]", value):
            return value
        case list() | tuple():
            return [_plain(element, depth + 1) for element in value]
        case dict():
            return {str(_plain(name, depth)): _plain(element, depth + 1) for name, element in value.items()}
    _refuse(f"a value that libconfig cannot hold: {reprlib.repr(value)}")


def _check_values(name: str, value: object) -> None:
    match value:
        case Mapping():
            for key, element in value.items():
                if name == "properties":
                    _check_property(key, element)
                else:
                    _check_values(key, element)
        case list():
            for element in value:
                _check_values(name, element)
        case str() if (size := len(value.encode(errors="surrogatepass"))) > MAX_TEXT:
            raise ConfigError(
                "release-content",
                f"{name} is longer than SWUpdate reads: {reprlib.repr(value)}",
                expected=f"at most {MAX_TEXT} bytes",
                found=size,
            )


def _check_property(name: str, value: object) -> None:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(
            "release-content",
            f"property {name!r} would be ignored by SWUpdate",
            expected="a string or strings",
            found=repr(value),
        )


def _for_libconf(value: object) -> object:
    """libconf writes a list as array `[ ]` and a tuple as list `( )`."""
    match value:
        case Mapping():
            return {name: _for_libconf(element) for name, element in value.items()}
        case list():
            types = {type(element) for element in value}
            scalar = len(types) == 1 and types <= {bool, int, float, str}
            elements = [_for_libconf(element) for element in value]
            return elements if scalar else tuple(elements)
    return value


def _for_json(value: object) -> object:
    match value:
        case Mapping():
            return {name: _for_json(element) for name, element in value.items()}
        case list():
            return [_for_json(element) for element in value]
        case int() if _fits(value, 64) and not _fits(value, 32):
            return str(value)
    return value


def _write_libconfig(tree: object) -> str:
    text: str = libconf.dumps(_for_libconf(tree))
    return text


def _write_json(tree: object) -> str:
    return json.dumps(tree, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


_WRITERS: Final = {Form.LIBCONFIG: _write_libconfig, Form.JSON: _write_json}
