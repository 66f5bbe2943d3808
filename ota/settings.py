"""TOML files, read strictly: an unknown, missing or wrong value is an error naming file and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

from ota.errors import ConfigError

MAX_FILE: Final = 1 << 20  # bytes; configuration is written by hand

T = TypeVar("T")

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Table:
    """One TOML table that is taken apart key by key; `done` refuses whatever nobody asked for."""

    def __init__(self, path: Path, values: Mapping[str, object], name: str = "") -> None:
        self.path = path
        self._values = dict(values)
        self._name = name
        self._known: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it that was not taken."""
        return not self._values

    def text(self, key: str, default: str | None = None) -> str:
        return self._required(key, str, "a string", default)

    def optional_text(self, key: str) -> str | None:
        return self._take(key, str, "a string")

    def integer(self, key: str, default: int | None = None) -> int:
        return self._required(key, int, "an integer", default)

    def optional_integer(self, key: str) -> int | None:
        return self._take(key, int, "an integer")

    def flag(self, key: str, default: bool) -> bool:
        return self._required(key, bool, "true or false", default)

    def size(self, key: str, default: str) -> int:
        """Bytes, written as "48M" (K, M, G: powers of 1024)."""
        return parse_size(self.text(key, default), self._complain(key))

    def optional_flag(self, key: str) -> bool | None:
        return self._take(key, bool, "true or false")

    def optional_size(self, key: str) -> int | None:
        text = self.optional_text(key)
        return None if text is None else parse_size(text, self._complain(key))

    def file(self, key: str, default: str | None = None) -> Path:
        """A path; relative ones start at the folder of this file."""
        return self.path.parent / self.text(key, default)

    def optional_file(self, key: str) -> Path | None:
        text = self.optional_text(key)
        return None if text is None else self.path.parent / text

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._take(key, list, "a list of strings") or []
        if not all(isinstance(value, str) for value in values):
            raise self._complain(key)("a list of strings", values)
        return tuple(values)

    def commands(self, key: str) -> tuple[tuple[str, ...], ...]:
        """Programs with their arguments: a list of lists of strings, none of them empty."""
        values = self._take(key, list, "a list of commands") or []
        for value in values:
            if not (isinstance(value, list) and value and all(isinstance(word, str) for word in value)):
                raise self._complain(key)("a list of lists of strings", value)
        return tuple(tuple(value) for value in values)

    def files(self, key: str) -> tuple[Path, ...]:
        return tuple(self.path.parent / text for text in self.texts(key))

    def mapping(self, key: str) -> dict[str, str]:
        """A table whose keys are the reader's own and whose values are strings."""
        values = self._take(key, dict, "a table") or {}
        for name, value in values.items():
            if not isinstance(value, str):
                raise self._complain(f"{key}.{name}")("a string", value)
        return dict(values)

    def strings(self, key: str) -> dict[str, str | list[str]]:
        """As `mapping`; the values are strings or lists of strings."""
        values = self._take(key, dict, "a table") or {}
        for name, value in values.items():
            if not all(isinstance(text, str) for text in (value if isinstance(value, list) else [value])):
                raise self._complain(f"{key}.{name}")("a string or a list of strings", value)
        return dict(values)

    def table(self, key: str) -> Table:
        """A sub-table; an absent one is empty."""
        return Table(self.path, self._take(key, dict, "a table") or {}, self._path(key))

    def named_tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """The sub-tables of `[key.*]`, by name, in the order of the file."""
        for name, values in (self._take(key, dict, "a table of tables") or {}).items():
            if not isinstance(values, dict):
                raise self._complain(f"{key}.{name}")("a table", values)
            yield name, Table(self.path, values, self._path(f"{key}.{name}"))

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of `[[key]]`."""
        for number, values in enumerate(self._take(key, list, "a list of tables") or [], 1):
            if not isinstance(values, dict):
                raise self._complain(key)("a list of tables", values)
            yield Table(self.path, values, self._path(f"{key} {number}"))

    def leave(self, *keys: str) -> None:
        """Pass over tables that another reader of this file knows."""
        for key in keys:
            self._take(key, dict, "a table")

    def done(self) -> None:
        """Raises: ConfigError("config-key") naming the first key that nobody asked for."""
        for key in self._values:
            raise ConfigError(
                "config-key",
                f"{self.path}: unknown key {self._path(key)!r}",
                expected="one of " + ", ".join(self._known),
                found=key,
            )

    def _required(self, key: str, kind: type[T], kind_name: str, default: T | None) -> T:
        value = self._take(key, kind, kind_name)
        if value is not None:
            return value
        if default is not None:
            return default
        raise ConfigError("config-key", f"{self.path}: key {self._path(key)!r} is missing")

    def _take(self, key: str, kind: type[T], kind_name: str) -> T | None:
        self._known.append(key)
        if key not in self._values:
            return None
        value = self._values.pop(key)
        # bool is an int to Python, not to the person who wrote the file.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self._complain(key)(kind_name, value)
        return value

    def _path(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _complain(self, key: str) -> Complaint:
        return Complaint(f"{self.path}: {self._path(key)}")


class Complaint:
    """Makes the ConfigError of one key, once expected and found are known."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __call__(self, expected: str, found: object) -> ConfigError:
        return ConfigError("config-value", f"{self._where} is wrong", expected=expected, found=repr(found))


def read(path: Path) -> Table:
    """Read a TOML file.

    Raises:
        ConfigError: "file-missing" or "config-syntax".
    """
    return Table(path, load(path))


def load(path: Path) -> dict[str, object]:
    """The plain values of a TOML file, for those who change some before `Table` takes them apart.

    Raises:
        ConfigError: "file-missing" or "config-syntax".
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise ConfigError(
            "config-syntax", f"{path} is too long", expected=f"{MAX_FILE} bytes", found=len(data)
        )
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("config-syntax", f"{path} is not valid TOML: {error}") from error


def parse_size(text: str, complain: Complaint) -> int:
    """Bytes, from "1048576", "48M", "2G"."""
    match = re.fullmatch(r"([0-9]{1,15})([KMG]?)", text)
    if match is None:
        raise complain('a number of bytes such as "48M"', text)
    return int(match[1]) * _UNITS[match[2]]
