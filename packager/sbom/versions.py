"""Which of two versions is the later one, by the rules of the packages that carry it.

dpkg: Debian Policy Manual, 5.6.12 (opkg has the same); rpm: rpm-version(7). Other versions are compared
as dpkg does, which agrees with common sense for numbers with dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

_RPM_PART = re.compile(r"\d+|[a-zA-Z]+|~|\^")


def compare(kind: str, left: str, right: str) -> int:
    """Negative, zero or positive: `left` is earlier than, as late as, or later than `right`.

    Args:
        kind: the type of the packages' URLs: "deb", "rpm", ...
    """
    part = _rpm if kind == "rpm" else _dpkg
    for one, other in zip(_parts(left), _parts(right), strict=True):
        if order := part(one, other):
            return order
    return 0


def _parts(version: str) -> tuple[str, str, str]:
    """Epoch, upstream version and revision. Both formats write them so."""
    epoch, colon, rest = version.partition(":")
    if not (colon and epoch.isdecimal()):
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return epoch, upstream, revision


def _dpkg(left: str, right: str) -> int:
    """Letters and digits by turns; letters before all other characters, and ~ even before the end."""
    ours, theirs = _dpkg_key(left), _dpkg_key(right)
    for (text, number), (other_text, other_number) in zip_longest(ours, theirs, fillvalue=((0,), 0)):
        if text != other_text:
            return 1 if text > other_text else -1
        if number != other_number:
            return 1 if number > other_number else -1
    return 0


def _dpkg_key(text: str) -> Iterator[tuple[tuple[int, ...], int]]:
    for letters, digits in re.findall(r"([^0-9]*)([0-9]*)", text):
        if letters or digits:
            # 0 is the end of the letters.
            yield (*(_rank(letter) for letter in letters), 0), int(digits or 0)


def _rank(letter: str) -> int:
    if letter == "~":
        return -1
    return ord(letter) if letter.isalpha() else ord(letter) + 0x110000


def _rpm(left: str, right: str) -> int:
    """Runs of digits or letters; digits later than letters, ~ before the end, ^ after it."""
    for one, other in zip_longest(_RPM_PART.findall(left), _RPM_PART.findall(right), fillvalue=""):
        if one != other:
            ours, theirs = _rpm_key(one), _rpm_key(other)
            if ours != theirs:
                return 1 if ours > theirs else -1
    return 0


def _rpm_key(part: str) -> tuple[int, int, str]:
    """~ < end < ^ < letters < digits."""
    if part in ("~", "", "^"):
        return ("~", "", "^").index(part), 0, ""
    return (4, int(part), "") if part.isdecimal() else (3, 0, part)
