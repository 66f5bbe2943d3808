"""As much of bitbake's variables as the tests need: a file's assignments, `${NAME}` and `${@...}`."""

from __future__ import annotations

import re
from pathlib import Path

import otakit.release

LAYER = Path(__file__).parents[1]
ROOT = LAYER.parent

_ASSIGNMENT = re.compile(r'^(?:export )?([\w:${}-]+) (\?=|=|\+=|:=) "((?:[^"\\]|\\.)*?)"$', re.M | re.S)
_REFERENCE = re.compile(r"\$\{(@?)([^{}]+)\}")


class Metadata:
    """The variables of one file of the layer, `given` ones first; flags are not among them."""

    def __init__(self, file: str, **given: str) -> None:
        text = (LAYER / file).read_text().replace("\\\n", " ")
        self._values: dict[str, str] = {}
        for written, operator, value in _ASSIGNMENT.findall(text):
            name = written.replace("${PN}", given.get("PN", ""))
            before = f"{self._values.get(name, '')} " if operator == "+=" else ""
            self._values[name] = before + value
        self._values |= given

    def getVar(self, name: str) -> str | None:  # noqa: N802  # bitbake's name
        """The value, with everything expanded in it."""
        value = self._values.get(name)
        while value is not None and _REFERENCE.search(value):
            value = _REFERENCE.sub(self._expand, value)
        return value

    def __getitem__(self, name: str) -> str:
        value = self.getVar(name)
        assert value is not None, f"there is no {name}"
        return value

    def _expand(self, reference: re.Match[str]) -> str:
        is_python, text = reference.groups()
        if is_python:
            return str(eval(text, {"d": self, "otakit": otakit}))
        return self[text]
