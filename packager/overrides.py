"""`--set KEY=VALUE`: values of a release file that are given, or replaced, on the command line.

A key is written as TOML writes dotted keys, from the top of the file; an entry of a list of tables goes by
its `name`, a base by its `version`: `version`, `image.rootfs.file`, `base."1.0.0".folder`. A value is TOML
(`true`, `20`, `"20"`, `["zchunk"]`); what is not is taken as the string that it is: `2.1.0`, `build/v2.img`.
The whole is then read as strictly as the file alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Final, cast

from ota.errors import ConfigError

_STARTS: Final = tuple("\"'[{")  # of a value that means to be TOML

_NAMED_BY: Final = {"base": "version"}  # others by `name`


def apply(values: Mapping[str, object], texts: Sequence[str]) -> dict[str, object]:
    """The values of a release file with these overrides, each "KEY=VALUE"; later ones win.

    Raises:
        ConfigError: config-syntax: no such form; config-key: it leads nowhere.
    """
    changed = cast(dict[str, object], _copy(values))
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError("config-syntax", f"--set {text}", expected="KEY=VALUE", found=repr(text))
        _set(changed, _path(key, text), _value(value.strip(), text), text)
    return changed


def _path(key: str, text: str) -> list[str]:
    try:
        table: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            "config-syntax", f"--set {text}: not a key", expected="words with dots between them", found=key
        ) from error
    path: list[str] = []
    while isinstance(table, dict):
        ((name, table),) = table.items()
        path.append(name)
    return path


def _value(text: str, whole: str) -> object:
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text.startswith(_STARTS):
            raise ConfigError("config-syntax", f"--set {whole}: not a value of TOML: {error}") from error
        return text
    # No key of a release file takes a time or a fraction, while 2.1 and 2026-11-22 are good versions.
    return value if isinstance(value, str | bool | int | list | dict) else text


def _set(table: dict[str, object], path: list[str], value: object, text: str) -> None:
    key, *rest = path
    if not rest:
        # Version 4 is as good as "4", where a string stood.
        table[key] = str(value) if type(value) is int and isinstance(table.get(key), str) else value
        return
    below = table.setdefault(key, {})
    if isinstance(below, list):
        below, rest = _named(key, below, rest, text)
    if not (isinstance(below, dict) and rest):
        raise ConfigError(
            "config-key", f"--set {text}", expected=f"a table {key!r} to set {'.'.join(rest)!r} in", found=key
        )
    _set(below, rest, value, text)


def _named(key: str, tables: list[object], rest: list[str], text: str) -> tuple[object, list[str]]:
    """The one of `[[key]]` that the first word of the rest names."""
    by = _NAMED_BY.get(key, "name")
    names = {str(table.get(by)): table for table in tables if isinstance(table, dict)}
    if rest[0] not in names:
        raise ConfigError(
            "config-key",
            f"--set {text}: no [[{key}]] has this {by}",
            expected=" or ".join(names) or f"[[{key}]] in the file",
            found=rest[0],
        )
    return names[rest[0]], rest[1:]


def _copy(value: object) -> object:
    """Another tree of the same values."""
    if isinstance(value, Mapping):
        return {key: _copy(below) for key, below in value.items()}
    return [_copy(below) for below in value] if isinstance(value, list) else value
