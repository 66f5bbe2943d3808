"""Which revisions of a board a description is for."""

import pytest

from ota.errors import UpdateError
from ota.formats import hardware
from ota.formats.selection import Description, select
from ota.tests.descriptions import (
    with_entry,
)


def for_hardware(*revisions: str) -> Description:
    tree = with_entry()
    tree["software"]["hardware-compatibility"] = list(revisions)
    return select(tree, "", None)


@pytest.mark.parametrize(
    ("revisions", "revision"),
    [
        (["1.0"], "1.0"),
        (["1.0", "1.1"], "1.1"),
        (["#RE:^1\\.[0-9]+$"], "1.25"),
        (["#RE:[23]"], "rev 3 b"),
        (["#RE:^(a|b){2}$"], "ab"),
        (["#RE:^[]a]$"], "]"),
        (["#RE:\\(1\\)\\+?"], "(1)"),
        (["#RE:"], "anything"),
        (["#RE:(?i)x", "1.0"], "1.0"),  # a literal needs no pattern
    ],
)
def test_a_revision_that_is_named_is_taken(revisions: list[str], revision: str) -> None:
    hardware.check(for_hardware(*revisions).hardware, "board", revision)


@pytest.mark.parametrize(
    ("revisions", "revision"),
    [
        ([], "1.0"),
        ([""], "1.0"),
        (["1.0"], "1.01"),
        (["1.0"], "1"),
        (["1.0"], ""),
        (["^1\\.0$"], "1.0"),  # a pattern has its mark
        (["#RE:^1\\.0$"], "1x0"),
        (["#RE:^1\\.0$"], "11.0"),
    ],
)
def test_a_revision_that_is_not_named_is_refused(revisions: list[str], revision: str) -> None:
    with pytest.raises(UpdateError) as caught:
        hardware.check(for_hardware(*revisions).hardware, "board", revision)
    assert caught.value.code == "hardware-mismatch"


@pytest.mark.parametrize(
    "pattern",
    [
        "[[:digit:]]",
        "\\d",
        "\\w+",
        "\\bx",
        "(?i)a",
        "(?=a)",
        "a+?",
        "a*+",
        "a??",
        "[a\\]",
        "a\\",
        "(",
        "[a",
        "*a",
    ],
)
def test_a_pattern_that_posix_and_python_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(UpdateError) as caught:
        hardware.check(for_hardware("#RE:" + pattern).hardware, "board", "1.0")
    assert caught.value.code == "description-content"


@pytest.mark.parametrize(
    "pattern",
    [
        "((((((1?){99}){99}){99}){99}){99}){99}2",
        "(((a+)+)+)+b",
        "(a|b{99}){99}",
        "a{99999}",
        "a{" + "9" * 5000 + "}",
        "(" * 5000 + ")" * 5000,
    ],
)
def test_a_pattern_that_would_take_ages_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(UpdateError) as caught:
        hardware.check(for_hardware("#RE:" + pattern).hardware, "board", "1.0")
    assert caught.value.code == "description-content"


@pytest.mark.parametrize(
    "pattern", [r"^1(\.[0-9]+)*$", r"^([0-9]{1,3}\.){1,3}[0-9]{1,3}$", r"^v?(1(\.(0)?)?)?$"]
)
def test_repetitions_in_one_another_are_read_as_long_as_they_are_few(pattern: str) -> None:
    hardware.check(for_hardware("#RE:" + pattern).hardware, "board", "1.0")
