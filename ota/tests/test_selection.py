"""What is installed from a sw-description: places, links, and what is refused."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.errors import ConfigError, OtaError, UpdateError
from ota.formats import description, hardware, links, selection
from ota.formats.selection import Compression, Description, Entry, Section, Selection, select
from ota.tests.descriptions import (
    DIGEST,
    LINKED,
    MULTI_COPY,
    SINGLE_COPY,
    chosen,
    devices,
    names,
    refusal,
    tree_of,
    with_entry,
)


def test_every_attribute_of_a_single_copy_is_read() -> None:
    assert chosen(SINGLE_COPY) == Description(
        version="0.1.0",
        name=None,
        update_type=None,
        namespace=None,
        output=None,
        description="one board, one place for everything",
        hardware=("1.0", "1.3", "#RE:^2\\.[0-9]+$"),
        entries=(
            Entry(Section.PARTITIONS, "ubipartition", name="data", device="mtd4", size=104896512),
            Entry(
                Section.IMAGES,
                "raw",
                filename="rootfs.ext4",
                device="/dev/vda2",
                sha256=DIGEST.lower(),
                compressed=Compression.ZLIB,
                offset=65536,
            ),
            Entry(
                Section.IMAGES,
                "flash",
                filename="kernel",
                name="linux",
                version="6.1",
                install_if_different=True,
            ),
            Entry(
                Section.IMAGES,
                "ubivol",
                filename="rootfs.ubifs",
                volume="rootfs",
                size=1 << 20,
                installed_directly=True,
            ),
            Entry(
                Section.FILES,
                "rawfile",
                filename="config.tar",
                path="/etc",
                compressed=Compression.XZ,
                preserve_attributes=True,
            ),
            Entry(Section.SCRIPTS, "shellscript", filename="check.sh", data="--fast", install_if_higher=True),
            Entry(Section.SCRIPTS, "lua", filename="old.lua"),
            Entry(
                Section.SCRIPTS,
                "toggleboot",
                device="/dev/vda",
                properties={"partition": ("2",), "list": ("a", "b")},
            ),
        ),
        bootenv={"bootpart": "0:2", "obsolete": ""},
        vars={"tried": "yes"},
        reboot=False,
        transaction_marker=False,
        state_marker=True,
    )


@pytest.mark.parametrize(
    "text", [SINGLE_COPY, MULTI_COPY, LINKED], ids=["single copy", "multi copy", "links"]
)
def test_the_json_form_means_the_same(text: str) -> None:
    tree = tree_of(text)
    wanted = Selection("stable", "rev-c" if "rev-c" in text else "copy-1")
    from_json = description.parse(json.dumps(tree).encode())
    assert select(from_json, "board", wanted) == select(tree, "board", wanted)


@pytest.mark.parametrize(
    ("board", "wanted", "version", "device", "hardware"),
    [
        ("big", "stable,copy-1", "2.0-big", "/dev/nvme0n1p2", "9"),  # board.set.mode
        ("big", "stable,copy-2", "2.0-big", "/dev/vda3", "any"),  # set.mode, version from the board
        ("small", "stable,copy-1", "2.0", "/dev/vda2", "any"),  # set.mode
        ("", "stable,copy-2", "2.0", "/dev/vda3", "any"),
        ("big", "stable,copy-3", "2.0-big", "/dev/root", "any"),  # root
        ("big", None, "2.0-big", "/dev/root", "any"),
        ("", None, "2.0", "/dev/root", "any"),
    ],
)
def test_the_most_specific_place_wins_for_every_field(
    board: str, wanted: str | None, version: str, device: str, hardware: str
) -> None:
    found = chosen(MULTI_COPY, board, wanted)
    assert (found.version, devices(found), found.hardware) == (version, [device], (hardware,))


def test_a_section_of_the_board_wins_over_the_root() -> None:
    tree = tree_of(MULTI_COPY)
    tree["software"]["big"]["images"] = [{"filename": "root", "device": "/dev/board"}]
    assert devices(select(tree, "big", None)) == ["/dev/board"]
    assert devices(select(tree, "small", None)) == ["/dev/root"]


def test_a_required_selection_that_is_absent_is_refused_with_those_there_are() -> None:
    error = refusal(
        tree_of(MULTI_COPY),
        "selection-missing",
        board="big",
        selection=Selection("stable", "copy-3"),
        required=True,
    )
    assert error.expected == "stable,copy-1 or stable,copy-2"
    assert error.found == "stable,copy-3"


@pytest.mark.parametrize(("board", "wanted"), [("big", "stable,copy-1"), ("", "stable,copy-2")])
def test_a_required_selection_that_is_there_is_taken(board: str, wanted: str) -> None:
    assert chosen(MULTI_COPY, board, wanted, required=True) == chosen(MULTI_COPY, board, wanted)


def test_the_selections_are_listed_in_the_order_of_the_text() -> None:
    assert selection.selections(tree_of(MULTI_COPY)) == ["stable,copy-1", "stable,copy-2"]
    assert selection.selections(tree_of(LINKED)) == [
        f"stable,{mode}" for mode in ("base", "rev-a", "rev-b", "rev-c", "rev-d")
    ]
    assert selection.selections(tree_of(SINGLE_COPY)) == []
    assert selection.selections({}) == []


def test_what_stands_inside_a_mode_is_no_selection() -> None:
    mode = {"images": [], "extra": {"images": []}, "files": {"ref": "#./x"}, "version": {"ref": "#./y"}}
    assert selection.selections({"software": {"stable": {"main": mode}}}) == ["stable,main"]


def test_there_is_a_bound_on_entries() -> None:
    image = {"filename": "a", "device": "b"}
    tree = {"software": {"version": "1", "images": [image] * links.MAX_ENTRIES}}
    assert len(select(tree, "", None).entries) == links.MAX_ENTRIES
    tree["software"]["images"] = [image] * (links.MAX_ENTRIES + 1)
    refusal(tree)


def test_a_group_where_a_list_is_expected_is_a_list_of_one() -> None:
    tree = {"software": {"version": "1", "images": {"filename": "a", "device": "b"}}}
    assert names(select(tree, "", None)) == ["a"]


def test_sections_are_installed_in_swupdates_order() -> None:
    found = chosen(SINGLE_COPY)
    order = list(dict.fromkeys(entry.section for entry in found.entries))
    assert order == [Section.PARTITIONS, Section.IMAGES, Section.FILES, Section.SCRIPTS]


@pytest.mark.parametrize("section", ["images", "files"])
def test_an_element_without_filename_is_skipped_unread(section: str) -> None:
    elements = [{"size": "wrong", "encrypted": True}, {"filename": "a", "device": "b"}]
    assert names(select({"software": {"version": "1", section: elements}}, "", None)) == ["a"]


def test_a_script_or_partition_needs_no_filename() -> None:
    software = {
        "version": "1",
        "scripts": [{"type": "emmc_boot"}],
        "partitions": [{"device": "d", "type": "diskpart"}],
    }
    assert names(select({"software": software}, "", None)) == [None, None]


@pytest.mark.parametrize(
    "software",
    [
        {"images": [{"filename": "a", "device": "b"}]},
        {"version": 1, "images": [{"filename": "a", "device": "b"}]},
        {"version": "", "images": [{"filename": "a", "device": "b"}]},
        {"version": "1"},
        {"version": "1", "images": []},
        {"version": "1", "images": [{"device": "b"}]},
        {"version": "1", "images": "a"},
        {"version": "1", "images": ["a"]},
        {"version": "1", "images": [{"filename": "a"}]},
        {"version": "1", "partitions": [{"name": "a"}]},
        {"version": "1", "bootenv": [{"value": "b"}]},
        {"version": "1", "bootenv": [{"name": "a", "value": 1}]},
        {"version": "1", "bootenv": [{"name": "a=b", "value": "c"}]},
        {"version": "1", "bootenv": [{"name": "a", "value": "b\nc=d"}]},
        {"version": "1", "bootenv": [{"name": "a b", "value": "c"}]},
        {"version": "1", "bootenv": [{"name": "a", "value": "x" * 256}]},
        {"version": "1", "bootenv": [{"name": "a", "value": "b"}], "reboot": "yes"},
        {"version": "1", "bootenv": [{"name": "a", "value": "b"}], "reboot": 0},
        {"version": "1", "bootenv": [{"name": "a", "value": "b"}], "hardware-compatibility": "1"},
        {"version": "1", "bootenv": [{"name": "a", "value": "b"}], "hardware-compatibility": [1]},
        {"version": "1", "bootenv": [{"name": "a", "value": "b"}], "bootloader_state_marker": "no"},
        "software",
    ],
    ids=repr,
)
def test_a_description_that_lacks_or_garbles_something_is_refused(software: object) -> None:
    refusal({"software": software})


def test_a_tree_without_software_is_refused() -> None:
    refusal({})
    refusal({"firmware": {"version": "1"}})


def test_a_boot_environment_alone_is_something_to_install() -> None:
    tree = {"software": {"version": "1", "bootenv": [{"name": "a", "value": "b"}]}}
    assert select(tree, "", None).bootenv == {"a": "b"}


def test_of_two_values_for_a_variable_the_first_counts_as_in_swupdate() -> None:
    variables = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}, {"name": "a", "value": "3"}]
    assert select({"software": {"version": "1", "bootenv": variables}}, "", None).bootenv == {
        "a": "1",
        "b": "2",
    }


def test_bootenv_hides_its_older_name() -> None:
    software = {"version": "1", "bootenv": [{"name": "a"}], "uboot": [{"name": "b"}]}
    assert select({"software": software}, "", None).bootenv == {"a": ""}


@pytest.mark.parametrize(
    ("value", "found"), [(True, True), (False, False), ("enabled", True), ("disabled", False), (None, None)]
)
def test_a_reboot_is_asked_for_forbidden_or_left_open(value: object, found: bool | None) -> None:
    tree = with_entry()
    if value is not None:
        tree["software"]["reboot"] = value
    assert select(tree, "", None).reboot is found


def test_a_long_description_is_no_offence() -> None:
    tree = with_entry()
    tree["software"]["description"] = "x" * 1000
    assert select(tree, "", None).description == "x" * 1000


@pytest.mark.parametrize("text", ["stable,copy-1", " stable , copy-1 "])
def test_a_selection_is_read(text: str) -> None:
    assert Selection.parse(text) == Selection("stable", "copy-1")
    assert str(Selection.parse(text)) == "stable,copy-1"


@pytest.mark.parametrize("text", ["", "stable", "stable,", ",copy-1", "a,b,c", ","])
def test_a_malformed_selection_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Selection.parse(text)
    assert caught.value.code == "config-value"


def outcome_of(tree: description.Tree) -> None:
    try:
        found = select(tree, "board", Selection("stable", "rev-c"))
        hardware.check(found.hardware, "board", "any")
    except OtaError as error:
        assert error.code in ("description-content", "member-name", "hardware-mismatch", "feature-absent")
    assert all(isinstance(name, str) for name in selection.selections(tree))


@given(st.data())
def test_a_damaged_text_is_selected_from_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from([SINGLE_COPY, MULTI_COPY, LINKED])).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(
            st.sampled_from(b'(){}[]=;:,"#./a1 \\\n\x80')
        )
    try:
        tree = description.parse(bytes(damaged))
    except UpdateError as error:
        assert error.code == "description-syntax"
    else:
        outcome_of(tree)


values = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "#./stable", "#./../x", "/dev/x", "1K"])
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ref", "filename", "a"]), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=200)
@given(st.data())
def test_a_tree_with_anything_anywhere_is_selected_from_or_refused(data: st.DataObject) -> None:
    tree = copy.deepcopy(tree_of(data.draw(st.sampled_from([SINGLE_COPY, MULTI_COPY, LINKED]))))
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = tree
        for _ in range(data.draw(st.integers(0, 6))):
            inner = node.values() if isinstance(node, dict) else node
            groups = [each for each in inner if isinstance(each, dict | list) and each]
            if not groups:
                break
            node = data.draw(st.sampled_from(groups))
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        node[key] = data.draw(values)
    outcome_of(tree)
