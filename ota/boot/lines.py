"""Variables as lines of name=value: the text that a file keeps, and that fw_setenv is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ota.errors import DeviceError

ANY_BYTES: Final = "surrogateescape"  # how values that are not UTF-8 are decoded and encoded

_NAME: Final = re.compile(r"[^\s=#\0][^\s=\0]*")
_VALUE: Final = re.compile(r"[^\n\0]*")


def render(variables: Mapping[str, str]) -> bytes:
    """One line a variable.

    Raises:
        DeviceError: "boot-environment": a line cannot hold it; it would set something else.
    """
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise DeviceError(
                "boot-environment",
                f"the environment cannot hold the variable {name!r}",
                expected="a name without '#' in front, '=' and blanks; a value of one line; no zero bytes",
            )
    return "".join(f"{name}={value}\n" for name, value in variables.items()).encode(errors=ANY_BYTES)
