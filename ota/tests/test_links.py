"""Links of a sw-description (`ref`): followed in place, never without bound."""

from typing import Any

import pytest

from ota.formats import links
from ota.formats.selection import select
from ota.tests.descriptions import (
    LINKED,
    chosen,
    names,
    refusal,
)


@pytest.mark.parametrize(
    ("mode", "files"),
    [
        ("rev-a", ["a"]),
        ("rev-b", ["a"]),  # a mode that is a link
        ("rev-c", ["one", "two", "three", "four", "five"]),  # a link to a link to a list with links in it
        ("rev-d", ["d"]),  # up through two levels
    ],
)
def test_links_are_followed_in_place(mode: str, files: list[str]) -> None:
    found = chosen(LINKED, "board", f"stable,{mode}")
    assert names(found) == files
    assert found.version == "0.7-linked"


@pytest.mark.parametrize(
    "ref",
    [
        "images",
        "/software/images",
        "#",
        "#.",
        "#./",
        "#./.",
        "#../..",
        "#./../../../../software/x",
        "#./nowhere",
        "#/nowhere",
        1,
        "",
    ],
)
@pytest.mark.parametrize("as_element", [True, False])
def test_a_link_that_is_malformed_or_leads_nowhere_is_refused(ref: object, as_element: bool) -> None:
    link = {"ref": ref}
    software = {
        "version": "1",
        "images": [link] if as_element else link,
        "x": [{"filename": "a", "device": "b"}],
    }
    assert "link" in refusal({"software": software}).what


def test_a_chain_of_links_is_followed_as_far_as_swupdate_does() -> None:
    last = links.MAX_LINKS
    software: dict[str, Any] = {f"n{n}": {"ref": f"#./n{n + 1}"} for n in range(last)}
    software |= {"version": "1", f"n{last}": [{"filename": "a", "device": "b"}], "images": [{"ref": "#./n1"}]}
    assert names(select({"software": software}, "", None)) == ["a"]
    software["images"] = {"ref": "#./n1"}
    assert names(select({"software": software}, "", None)) == ["a"]
    software["images"] = {"ref": "#./n0"}
    assert "links in a chain" in refusal({"software": software}).what


@pytest.mark.parametrize("images", [{"ref": "#./images"}, [{"ref": "#./images"}], [{"ref": "#./other"}]])
def test_links_in_a_circle_are_refused(images: object) -> None:
    tree = {"software": {"version": "1", "images": images, "other": [{"ref": "#./images"}]}}
    assert "links in a chain" in refusal(tree).what


def test_links_cannot_multiply_without_bound() -> None:
    software: dict[str, Any] = {f"n{n}": [{"ref": f"#./n{n + 1}"}] * 30 for n in range(6)}
    software |= {"version": "1", "n6": [], "images": {"ref": "#./n0"}}
    assert str(links.MAX_ENTRIES) in refusal({"software": software}).what
