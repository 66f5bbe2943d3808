"""Whether an update is for this hardware: the list `hardware-compatibility` of a sw-description.

Format: SWUpdate's sw-description.rst, "Hardware compatibility"; patterns: its core/hw-compatibility.c.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ota.errors import UpdateError
from ota.formats.attributes import refuse
from ota.formats.description import MAX_TEXT

# What Python's `re` reads otherwise than POSIX extended expressions, or what POSIX leaves undefined.
_NOT_POSIX: Final = re.compile(
    r"(?<!\\)\[[^]]*\[[:.=]|\(\?|\\[^]\[.$()|*+?{}\\^/-]|(?<!\\)\[[^]]*\\|(?<!\\)[*+?}][*+?{]"
)

MAX_REPETITIONS: Final = 1000  # of counts in one another, {3} in {2} being 6: they are unrolled or walked
MAX_DEPTH: Final = 2  # of repetitions in one another; each multiplies the ways to match
_TOKEN: Final = re.compile(
    r"\\.|\[\^?\]?[^]]*\]|(?P<open>\()|(?P<close>\))|(?P<counts>[*+?]|\{[0-9,]*\})|.", re.DOTALL
)


def check(hardware: Sequence[str], board: str, revision: str) -> None:
    """Refuse an update that does not name this revision, literally or by a pattern after `#RE:`.

    Patterns are POSIX extended ones, searched for anywhere in the revision, by Python's `re`. What the two
    read differently is refused: bracket classes such as `[[:digit:]]`, a backslash before an ordinary
    character or in brackets, `(?`, and a quantifier behind a quantifier. So is what would take ages.

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
    if len(pattern) > MAX_TEXT or _is_costly(pattern):
        refuse(
            "a pattern in hardware-compatibility is too long, or repeats repetitions too often", found=pattern
        )
    try:
        return re.search(pattern, revision) is not None
    except re.error as error:
        refuse(f"a pattern in hardware-compatibility is malformed: {error}", found=pattern)


def _is_costly(pattern: str) -> bool:
    """Whether repetitions multiply beyond the bounds."""
    groups = [(0, 1)]  # of each open group: the depth of repetitions in it, and the largest product of counts
    last = (0, 1)  # of what stands before a quantifier
    for token in _TOKEN.finditer(pattern):
        if token["open"]:
            groups.append((0, 1))
        elif token["close"] and len(groups) > 1:
            last = groups.pop()
        elif token["counts"]:
            numbers = [int(number) for number in re.findall("[0-9]+", token["counts"])]
            repeats = token["counts"] != "?"
            last = (last[0] + repeats, last[1] * max(numbers, default=1))
        else:
            last = (0, 1)
        groups[-1] = (max(groups[-1][0], last[0]), max(groups[-1][1], last[1]))
    return any(depth > MAX_DEPTH or product > MAX_REPETITIONS for depth, product in groups)
