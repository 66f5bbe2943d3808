"""Attributes and properties of an entry: what they mean, and which are refused."""

from typing import Any

import pytest

from ota.formats.selection import Compression, Selection, select
from ota.tests.descriptions import (
    entry_with,
    names,
    refusal,
    with_entry,
)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({}, "raw"),
        ({"volume": "v"}, "ubivol"),
        ({"volume": "v", "device": None}, "ubivol"),
        ({"type": "delta"}, "delta"),
        ({"type": ""}, "raw"),
    ],
)
def test_an_image_without_type_gets_swupdates_default(attributes: dict[str, Any], kind: str) -> None:
    assert entry_with(**attributes).type == kind


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0, 0),
        (12, 12),
        ((1 << 63) - 1, (1 << 63) - 1),
        ("12", 12),
        ("0x1F", 31),
        ("64K", 65536),
        ("64k", 65536),
        ("1M", 1 << 20),
        ("1MiB", 1 << 20),
        ("2Gi", 2 << 30),
        ("5000000000", 5_000_000_000),
    ],
)
def test_lengths_are_numbers_or_strings_with_a_unit(value: object, found: int) -> None:
    assert entry_with(size=value).size == found
    assert entry_with(offset=value).offset == found


@pytest.mark.parametrize(
    "value",
    [
        -1,
        1 << 63,
        1.0,
        True,
        "-1",
        "1.5M",
        "1T",
        "K",
        "010",
        " 1",
        "1 K",
        "1KB",
        "9" * 5000,
        f"{1 << 63}",
        "8589934592G",
        [1],
    ],
)
def test_what_is_no_length_is_refused(value: object) -> None:
    refusal(with_entry(size=value))
    refusal(with_entry(offset=value))


def test_absent_lengths_are_none_and_zero() -> None:
    assert (entry_with().size, entry_with().offset) == (None, 0)
    assert (entry_with(size="").size, entry_with(offset="").offset) == (None, 0)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (True, Compression.ZLIB),
        (False, None),
        ("zlib", Compression.ZLIB),
        ("xz", Compression.XZ),
        ("zstd", Compression.ZSTD),
        ("lz4", Compression.LZ4),
    ],
)
def test_a_compression_is_named_or_true(value: object, found: Compression | None) -> None:
    assert entry_with(compressed=value).compressed == found


TEXTS = ("name", "version", "type", "device", "path", "data", "volume", "filesystem")
WRONG: list[tuple[str, object]] = [
    *(("compressed", value) for value in ("lzo", "gzip", "", 1)),
    *(("sha256", value) for value in ("0" * 63, "0" * 65, "g" * 64, 5)),
    *((name, value) for name in TEXTS for value in (1, 1.5, True, ["a"], "x" * 256)),
    ("filename", "ä" * 128),
    ("filename", 5),
    *((name, "true") for name in ("installed-directly", "install-if-different", "preserve-attributes")),
    ("install-if-higher", 1),
    ("properties", ["a"]),
    ("properties", "a"),
    *(("encrypted", value) for value in ("aes-ctr", "", 1)),
    *(("ivt", value) for value in ("0" * 31, "g" * 32, 0)),
    ("aes-key", "0" * 33),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: repr(value)[:30])
def test_an_attribute_that_would_change_the_installation_is_refused(name: str, value: object) -> None:
    error = refusal(with_entry(**{name: value}))
    assert name in error.what
    assert len(str(error)) < 500


@pytest.mark.parametrize("section", ["partitions", "images", "files", "scripts", "bootenv", "vars"])
@pytest.mark.parametrize("name", ["hook", "preinstall", "postinstall"])
def test_a_lua_function_is_refused_in_every_section(section: str, name: str) -> None:
    element = {"filename": "a", "device": "b", "name": "c", name: "d"}
    software = {"version": "1", "scripts": [{"type": "dummy"}], section: [element]}
    assert "Lua" in refusal({"software": software}, "feature-absent").what


def test_encryption_is_a_flag_or_the_name_of_its_mode() -> None:
    found = entry_with(encrypted="aes-cbc-256", ivt="0A" * 16, **{"aes-key": "0B" * 32})
    assert (found.encrypted, found.ivt, found.aes_key) == (True, "0a" * 16, "0b" * 32)
    assert not entry_with(encrypted=False).encrypted


@pytest.mark.parametrize("place", [(), ("board",), ("stable", "main"), ("board", "stable", "main")])
def test_an_embedded_script_is_refused_wherever_it_counts(place: tuple[str, ...]) -> None:
    tree: dict[str, Any] = with_entry()
    node = tree["software"]
    for name in place:
        node = node.setdefault(name, {})
    node["embedded-script"] = "function f() end"
    refusal(tree, "feature-absent", board="board", selection=Selection("stable", "main"))


def test_what_concerns_another_board_is_not_looked_at() -> None:
    tree = with_entry()
    tree["software"]["other"] = {
        "embedded-script": "x",
        "images": [{"filename": "a", "hook": "x"}],
        "version": 1,
    }
    assert names(select(tree, "board", None)) == ["a.bin"]


@pytest.mark.parametrize("value", [1, True, 1.5, ["b", 1], {"b": "c"}, [["b"]]], ids=repr)
def test_a_property_other_than_strings_is_refused(value: object) -> None:
    assert "property 'a'" in refusal(with_entry(properties={"a": value})).what


def test_a_number_as_property_is_refused_with_the_way_out() -> None:
    assert refusal(with_entry(properties={"max-ranges": 10})).hint == 'write "10"'
    assert refusal(with_entry(properties={"debug-chunks": True})).hint == 'write "true"'


def test_unknown_attributes_are_ignored() -> None:
    assert entry_with(colour="green", mtdname=5) == entry_with()


def test_a_property_is_its_last_value_as_in_swupdate() -> None:
    entry = entry_with(properties={"one": "a", "many": ["b", "c"], "none": []})
    assert [entry.property(name) for name in ("one", "many", "none", "absent")] == ["a", "c", None, None]
    assert entry.properties["many"] == ("b", "c")


@pytest.mark.parametrize("name", ["a/b", "/a", "../a", "..", ".", ""])
def test_a_filename_is_never_a_path(name: str) -> None:
    refusal(with_entry(filename=name), "member-name")
