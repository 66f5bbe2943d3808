"""Variables of a boot environment: what it can hold, and files of `name=value` lines.

Format of the files: SWUpdate's handlers/boot_handler.c. A name alone, or without a value, unsets the
variable; `#` in front makes a comment; a line may end as DOS ends it. Refused, because there it would set
or unset something else than was meant: a line without a name, and one that is too long for the buffers that
it goes through. Of `name==x` and `name=x=` SWUpdate loses a `=`; here all behind the first one is the value.
"""

from __future__ import annotations

import re
import reprlib
from typing import Final, NoReturn

from ota.errors import UpdateError

MAX_FILE: Final = 64 << 10  # bytes; environments have 4 to 128 KiB, two copies of them
MAX_LINE: Final = 1022  # bytes; SWUpdate and fw_setenv read a line and its end into 1024

_NAME: Final = re.compile(r"[^\s=#\x00-\x1f\x7f][^\s=\x00-\x1f\x7f]*")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")  # a tab is no harm


def fault(name: str, value: str) -> str | None:
    """Why no environment can hold a variable, in words; None if one can."""
    if not _NAME.fullmatch(name):
        return "its name is empty, a comment, or holds a blank, '=' or a control character"
    if not _VALUE.fullmatch(value):
        return "its value holds a control character"
    if len(f"{name}={value}".encode()) > MAX_LINE:
        return f"name and value have more than {MAX_LINE} bytes"
    return None


def parse(data: bytes, what: str) -> list[tuple[str, str]]:
    """The variables of a file, in order; an empty value unsets.

    Args:
        what: the file, for people.

    Raises:
        UpdateError: "bootenv-format".
    """
    if len(data) > MAX_FILE:
        raise UpdateError("bootenv-format", f"{what} is too long", expected=f"<= {MAX_FILE} bytes")
    found = []
    for number, line in enumerate(data.split(b"\n"), 1):
        where = f"{what}, line {number}"
        try:
            text = line.rstrip(b"\r").decode()
        except UnicodeDecodeError:
            _refuse(where, "it is not UTF-8", line)
        if not text.strip() or text.startswith("#"):
            continue
        name, _, value = text.partition("=")
        if reason := fault(name, value):
            _refuse(where, reason, text)
        found.append((name, value))
    return found


def _refuse(where: str, reason: str, line: object) -> NoReturn:
    raise UpdateError("bootenv-format", f"{where}: {reason}", expected="name=value", found=reprlib.repr(line))
