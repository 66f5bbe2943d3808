"""The text of a sw-description: both syntaxes, what is refused, and C libconfig as the judge."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ota.errors import ConfigError, OtaError, UpdateError
from ota.formats import description
from ota.formats.description import Form
from ota.tests import libconfig

TEXT = b"""
/* one board with two copies */
software =
{
    version : "1.0"            # ; may be absent
    hardware-compatibility = [ "1.0", "#RE:^1\\.[0-9]+$" ];
    stable : {
        copy-1 = { images = ( { filename = "root" ".ext4"; device = "/dev/vda2"; size = 0x10; } ); };
        copy-2 = { images = ( { filename = "root.ext4", device = "/dev/vda3", size = 5000000000L } ) }
    } // the sets end here
    reboot = FALSE;
    ratio = 1.5e1;
    numbers = [ 0x1, 2 ];
    version-of = { version = 1; };
    label = "caf\xc3\xa9 \\"quoted\\" \\\\ tab\\t \\x41";
}
"""
TREE = {
    "software": {
        "version": "1.0",
        "hardware-compatibility": ["1.0", "#RE:^1\\.[0-9]+$"],
        "stable": {
            "copy-1": {"images": [{"filename": "root.ext4", "device": "/dev/vda2", "size": 16}]},
            "copy-2": {"images": [{"filename": "root.ext4", "device": "/dev/vda3", "size": 5_000_000_000}]},
        },
        "reboot": False,
        "ratio": 15.0,
        "numbers": [1, 2],
        "version-of": {"version": 1},
        "label": 'café "quoted" \\ tab\t A',
    }
}

REFUSED = {
    "an include": b'@include "/etc/hostname"\n',
    "an indented include": b'a = {\n  @include "/etc/hostname"\n};',
    "a name twice": b"a = 1; b = 2; a = 3;",
    "a name twice around a group": b"a = 1; b = { c = 1; }; a = 3;",
    "a name twice in an inner group": b"a = ( { b = 1; b = 2; } );",
    "a comma at the end of a list": b"a = ( 1, 2, );",
    "a comma at the end of an array": b"a = [ 1, 2, ];",
    "an array of numbers and strings": b'a = [ 1, "2" ];',
    "an array of two sizes of integers": b"a = [ 1, 2L ];",
    "an array of lists": b"a = [ ( 1 ) ];",
    "an integer beyond 32 bits": b"a = 5000000000;",
    "a hexadecimal integer beyond 31 bits": b"a = 0x80000000;",
    "an integer beyond 64 bits": b"a = 9223372036854775808L;",
    "an endless integer": b"a = " + b"1" * 10_000 + b"L;",
    "octal": b"a = 0755;",
    "a lone dot": b"a = .;",
    "an infinite number": b"a = 1e999;",
    "digits that are not ASCII": "a = \u0663.5;".encode(),
    "a malformed escape": b'a = "\\xzz";',
    "an escape for NUL": b'a = "\\x00";',
    "an escape for a byte of UTF-8": b'a = "\\xc3\\xa9";',
    "an escape that only newer libconfigs know": b'a = "\\a";',
    "an escape that only libconf knows": b'a = "\\\'";',
    "an escape that only C knows": b'a = "\\X41";',
    "a string without an end": b'a = "b;',
    "a comment without an end": b"a = 1; /* b",
    "a list without an end": b"a = ( 1;",
    "a bracket too many": b"a = 1; }",
    "no value": b"a = ;",
    "no name": b"= 1;",
    "Latin-1": b'a = "\xe9";',
    "a NUL": b'a = "b\0c";',
    "a number": b"42",
    "an array on top": b"[ 1 ]",
    "deep lists": b"a = " + b"(" * 100_000,
    "deep groups": b"a = " + b"{ a = " * 100_000,
    "too many tokens": b"a = [" + b"1," * description.MAX_TOKENS + b"1];",
    "too many bytes": b"#" * (description.MAX_SIZE + 1),
    "JSON without an end": b'{ "a": 1',
    "JSON with a name twice": b'{ "a": { "b": 1, "b": 1 } }',
    "JSON with something behind it": b'{ "a": 1 } "b"',
    "JSON with null": b'{ "a": null }',
    "JSON with NaN": b'{ "a": NaN }',
    "JSON with an infinite number": b'{ "a": 1e999 }',
    "JSON with an integer beyond 64 bits": b'{ "a": 18446744073709551616 }',
    "JSON with an endless integer": b'{ "a": ' + b"1" * 10_000 + b" }",
    "JSON with a NUL": b'{ "a": "\\u0000" }',
    "JSON with half a character": b'{ "a": "\\ud800" }',
    "JSON with half a character in a name": b'{ "\\ud800": 1 }',
    "deep JSON": b'{ "a": ' + b"[" * 100_000,
    "JSON one level too deep": b'{ "a": ' + b"[" * 33 + b"]" * 33 + b" }",
}

# What C libconfig takes otherwise than refused here: it wraps, cuts or guesses.
C_GUESSES = {
    "an integer beyond 32 bits",
    "a hexadecimal integer beyond 31 bits",
    "an integer beyond 64 bits",
    "an endless integer",
    "octal",
    "a lone dot",
    "an infinite number",
    "a malformed escape",
    "an escape for NUL",
    "an escape for a byte of UTF-8",
    "an escape that only newer libconfigs know",
    "an escape that only libconf knows",
    "an escape that only C knows",
    "Latin-1",
    "a comment without an end",
}

names = st.from_regex(r"[A-Za-z*][-A-Za-z0-9_*]{0,12}", fullmatch=True).filter(
    lambda name: name.lower()[:4] != "true" and name.lower()[:5] != "false" and name != "properties"
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
numbers = st.integers(-(1 << 63), (1 << 63) - 1)
scalars = st.one_of(texts, numbers, st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
nodes = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
trees = st.dictionaries(names, nodes, max_size=4)


@pytest.fixture(scope="module")
def c_libconfig() -> None:
    if not libconfig.FILE:
        assert not os.environ.get("CI"), "CI lacks libconfig"
        pytest.skip("needs libconfig: bench/tools/get.py swupdate-2022.12")


def code_of(data: bytes) -> str:
    with pytest.raises(UpdateError) as caught:
        description.parse(data)
    return caught.value.code


def test_libconfig_becomes_a_plain_tree() -> None:
    assert description.parse(TEXT) == TREE


def test_json_becomes_the_same_tree() -> None:
    assert description.parse(json.dumps(TREE).encode()) == TREE
    assert description.parse(b"\n  " + json.dumps(TREE, ensure_ascii=False, indent=1).encode()) == TREE


def test_a_tree_holds_plain_types_only() -> None:
    def types(node: object) -> set[type]:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return {type(node)}.union(*map(types, inner))

    assert types(description.parse(TEXT)) == {dict, list, str, int, float, bool}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_malformed_or_ambiguous_is_refused(data: bytes) -> None:
    assert code_of(data) == "description-syntax"


def test_an_include_opens_no_file(tmp_path: Any) -> None:
    (tmp_path / "included").write_text("a = 1;")
    text = f'@include "{tmp_path}/included"\n'
    with pytest.raises(UpdateError, match="@include is not followed"):
        description.parse(text.encode())


def test_a_refusal_names_row_and_column() -> None:
    with pytest.raises(UpdateError, match="row 3, column 7"):
        description.parse(b"a = 1;\n# b\n  a = 2;".replace(b"  a", b"      a"))
    with pytest.raises(UpdateError, match="row 2, column 2"):
        description.parse(b'{ "a":\n x }')


def test_an_integer_that_does_not_fit_is_refused_with_the_way_out() -> None:
    with pytest.raises(UpdateError, match="5000000000L"):
        description.parse(b"size = 5000000000;")


def test_nesting_up_to_the_bound_is_read() -> None:
    for deep in (REFUSED["deep lists"], REFUSED["deep groups"], REFUSED["deep JSON"]):
        with pytest.raises(UpdateError, match=f"nested deeper than {description.MAX_DEPTH}"):
            description.parse(deep)
    depth = description.MAX_DEPTH
    assert description.parse(b"a = " + b"(" * depth + b"1" + b")" * depth)
    assert description.parse(b'{ "a": ' + b"[" * depth + b"1" + b"]" * depth + b" }")


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


TOKENS = [
    "a",
    "b",
    "=",
    ":",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "1",
    "0x",
    "5L",
    ".",
    "1e",
    '"',
    '"x"',
    "\\x",
    "true",
]


@given(
    st.lists(
        st.sampled_from([*TOKENS, "/*", "*/", "//", "#", "\n", " ", "@include ", "-", "null"]), max_size=40
    )
)
def test_any_tokens_are_read_or_refused(tokens: list[str]) -> None:
    read_or_refused("".join(tokens).encode())
    read_or_refused(("{" + "".join(tokens) + "}").encode())


@given(st.data())
def test_a_damaged_text_is_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from([TEXT, json.dumps(TREE).encode()])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read_or_refused(bytes(damaged))


def read_or_refused(data: bytes) -> None:
    try:
        tree = description.parse(data)
    except OtaError as error:
        assert error.code == "description-syntax"
    else:
        assert type(tree) is dict


@settings(max_examples=50)
@given(trees)
def test_what_is_rendered_is_parsed_in_its_order(tree: dict[str, Any]) -> None:
    assert same(description.parse(description.render(tree)), tree)


@settings(max_examples=50)
@given(trees)
def test_c_libconfig_reads_what_is_rendered(c_libconfig: None, tree: dict[str, Any]) -> None:
    assert same(libconfig.parse(description.render(tree)), tree)


def test_c_libconfig_reads_the_same_tree(c_libconfig: None) -> None:
    assert same(libconfig.parse(TEXT), TREE)


@pytest.mark.parametrize("name", [name for name in REFUSED if not re.search("JSON|deep|many", name)])
def test_c_libconfig_refuses_it_too_or_guesses(c_libconfig: None, name: str) -> None:
    guessed = libconfig.parse(REFUSED[name])
    assert (guessed is not None) == (name in C_GUESSES)


@given(st.lists(st.sampled_from([*TOKENS, " ", " "]), max_size=30))
def test_what_is_read_means_the_same_to_c_libconfig(c_libconfig: None, tokens: list[str]) -> None:
    data = "".join(tokens).encode()
    assume(not data.lstrip().startswith(b"{"))  # that is JSON
    try:
        tree = description.parse(data)
    except UpdateError:
        return
    assert same(libconfig.parse(data), tree)


def same(theirs: object, ours: object) -> bool:
    """Equal, with the types of numbers and the order of names."""
    match theirs, ours:
        case dict(), dict():
            assert isinstance(theirs, dict) and isinstance(ours, dict)
            return list(theirs) == list(ours) and all(same(theirs[name], ours[name]) for name in ours)
        case list(), list():
            assert isinstance(theirs, list) and isinstance(ours, list)
            return len(theirs) == len(ours) and all(map(same, theirs, ours))
    return type(theirs) is type(ours) and theirs == ours


@pytest.mark.parametrize(
    "tree",
    [
        {"properties": {"max-ranges": 10}},
        {"properties": {"debug-chunks": True}},
        {"properties": {"a": ["1", 2]}},
        {"properties": {"a": {"b": "c"}}},
        {"a": [{"properties": {"max-ranges": 10}}]},
        {"a": "x" * 256},
        {"a": ["ä" * 128]},
        {"a": 1 << 63},
        {"a": None},
        {"a": b"bytes"},
        {"a": float("nan")},
        {"a": "\0"},
        {"a": "\ud800"},
        {"a b": 1},
        {"1a": 1},
        {"": 1},
        {"a = 1; b": 1},
        {1: 2},
        {"true": 1},
        {"False-x": 1},
        {"a": {"b.c": 1}},
    ],
    ids=repr,
)
def test_what_swupdate_would_drop_or_misread_is_not_rendered(tree: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        description.render(tree)
    assert caught.value.code == "release-content"


@pytest.mark.parametrize(
    "tree",
    [
        {"properties": {"max-ranges": 10}},
        {"properties": {"a": ["1", 2]}},
        {"a": [{"properties": {"debug-chunks": True}}]},
        {"a": "x" * 256},
        {"a": ["ä" * 128]},
        {"a": 1 << 63},
        {"a": None},
        {"a": b"bytes"},
        {"a": float("nan")},
        {"a": "\0"},
        {"a": "\ud800"},
        {1: 2},
    ],
    ids=repr,
)
def test_nor_is_it_as_json(tree: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        description.render(tree, Form.JSON)
    assert caught.value.code == "release-content"


@settings(max_examples=50)
@given(trees)
def test_what_is_rendered_as_json_is_parsed_in_its_order(tree: dict[str, Any]) -> None:
    data = description.render(tree, Form.JSON)
    assert data.startswith(b"{")
    assert same(description.parse(data), with_long_numbers_as_text(tree))


def with_long_numbers_as_text(tree: Any) -> Any:
    match tree:
        case dict():
            return {name: with_long_numbers_as_text(value) for name, value in tree.items()}
        case list():
            return [with_long_numbers_as_text(value) for value in tree]
        case int() if not -(1 << 31) <= tree < 1 << 31:
            return str(tree)
    return tree


def test_integers_beyond_32_bits_are_text_in_json() -> None:
    found = description.parse(description.render({"a": 1 << 31, "b": (1 << 31) - 1}, Form.JSON))
    assert found == {"a": "2147483648", "b": 2147483647}


@pytest.mark.parametrize("depth", [40, 5000])
def test_a_tree_too_deep_is_not_rendered_as_json(depth: int) -> None:
    tree: Any = 1
    for _ in range(depth):
        tree = {"a": tree}
    with pytest.raises(ConfigError, match="release-content"):
        description.render(tree, Form.JSON)


@pytest.mark.parametrize("tree", [{"a b": 1}], ids=repr)
def test_names_that_libconfig_has_not_are_for_json_alone(tree: Mapping[str, Any]) -> None:
    assert description.parse(description.render(tree, Form.JSON)) == tree
    with pytest.raises(ConfigError) as caught:
        description.render(tree)
    assert caught.value.code == "release-content"


def test_a_tree_too_deep_is_not_rendered() -> None:
    tree: Any = 1
    for _ in range(5000):
        tree = {"a": tree}
    with pytest.raises(ConfigError, match="release-content"):
        description.render(tree)


def test_a_property_may_be_longer_than_an_attribute() -> None:
    tree = {"properties": {"url": "https://example.org/" + "x" * 1000, "mirrors": ["y" * 300, "z"]}}
    assert description.parse(description.render(tree)) == tree


def test_scalars_of_one_type_are_rendered_as_an_array_and_all_else_as_a_list() -> None:
    assert description.render({"a": ["1", "2"]}).split() == b'a = [ "1", "2" ];'.split()
    for mixed in (["1", 2], [True, 1], [["1"]], []):
        assert description.render({"a": mixed}).split()[2] == b"("


def test_integers_beyond_32_bits_are_rendered_with_their_mark() -> None:
    assert b"a = 2147483648L;" in description.render({"a": 1 << 31})
    assert b"a = 2147483647;" in description.render({"a": (1 << 31) - 1})
