"""Whether an update is for this hardware: the list `hardware-compatibility` of a sw-description.

Format: SWUpdate's sw-description.rst, "Hardware compatibility"; patterns: its core/hw-compatibility.c.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ota.errors import UpdateError
from ota.formats.attributes import refuse

# What Python's `re` reads otherwise than POSIX extended expressions, or what POSIX leaves undefined.
_NOT_POSIX: Final = re.compile(r"\[[:.=]|\(\?|\\[^]\[.$()|*+?{}\\^/-]|(?<!\\)\[[^]]*\\|(?<!\\)[*+?}][*+?{]")


def check(hardware: Sequence[str], board: str, revision: str) -> None:
    """Refuse an update that does not name this revision, literally or by a pattern after `#RE:`.

    Patterns are POSIX extended ones, searched for anywhere in the revision, by Python's `re`. What the two
    read differently is refused: bracket classes such as `[[:digit:]]`, a backslash before an ordinary
    character or in brackets, `(?`, and a quantifier behind a quantifier.

    Raises:
        UpdateError: hardware-mismatch, also where hardware-compatibility is absent; description-content.
    """
    patterns = [text.removeprefix("#RE:") for text in hardware if text.startswith("#RE:")]
    if revision in hardware or any(_fits(pattern, revision) for pattern in patterns):
        return
    raise UpdateError(
        "hardware-mismatch",
        f"the update is not for board {board!r}, revision {revision!r}",
        expected=" or ".join(hardware) or "a hardware-compatibility list",
        found=revision,
    )


def _fits(pattern: str, revision: str) -> bool:
    fault = _NOT_POSIX.search(pattern)
    if fault:
        refuse("a pattern in hardware-compatibility is not portable", found=f"{fault[0]} in {pattern}")
    try:
        return re.search(pattern, revision) is not None
    except re.error as error:
        refuse(f"a pattern in hardware-compatibility is malformed: {error}", found=pattern)
