"""What is installed from a sw-description: places, links, attributes, and what is refused."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.errors import ConfigError, OtaError, UpdateError
from ota.formats import description, hardware, links, selection
from ota.formats.selection import Compression, Description, Entry, Section, Selection, select

DIGEST = "0123456789ABCDEF" * 4

SINGLE_COPY = """
software = {
    version = "0.1.0";
    description = "one board, one place for everything";
    hardware-compatibility: [ "1.0", "1.3", "#RE:^2\\.[0-9]+$" ];
    partitions: ( { name = "data"; device = "mtd4"; size = 104896512; } );
    files: ( { filename = "config.tar"; path = "/etc"; compressed = "xz"; preserve-attributes = true; } );
    images: (
        { filename = "rootfs.ext4"; device = "/dev/vda2"; compressed = true; offset = "64K";
          sha256 = "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"; },
        { filename = "kernel"; name = "linux"; version = "6.1"; type = "flash";
          install-if-different = true; },
        { filename = "rootfs.ubifs"; volume = "rootfs"; size = "1MiB"; installed-directly = true; },
        { device = "/dev/vda9"; type = "raw"; }                                   /* no filename: skipped */
    );
    scripts: (
        { filename = "check.sh"; type = "shellscript"; data = "--fast"; install-if-higher = true; },
        { filename = "old.lua"; },
        { type = "toggleboot"; device = "/dev/vda"; properties: { partition = "2"; list = ("a", "b"); }; }
    );
    uboot: ( { name = "bootpart"; value = "0:2"; }, { name = "obsolete"; } );
    vars: ( { name = "tried"; value = "yes"; } );
    reboot = false;
    bootloader_transaction_marker = false;
};
"""

MULTI_COPY = """
software = {
    version = "2.0";
    hardware-compatibility: [ "any" ];
    stable: {
        copy-1: { images: ( { filename = "root"; device = "/dev/vda2"; } );
                  bootenv: ( { name = "slot"; value = "1"; } ); };
        copy-2: { images: ( { filename = "root"; device = "/dev/vda3"; } );
                  bootenv: ( { name = "slot"; value = "2"; } ); };
    };
    big: {
        version = "2.0-big";
        stable: {
            copy-1: { hardware-compatibility: [ "9" ];
                      images: ( { filename = "root"; device = "/dev/nvme0n1p2"; } ); };
        };
    };
    images: ( { filename = "root"; device = "/dev/root"; } );
};
"""

LINKED = """
software = {
    version = { ref = "#./common-version"; };
    common-version = "0.7-linked";
    hardware-compatibility = [ "any" ];
    board: {
        stable: {
            base: { images = { ref = "#./../shared"; }; };
            shared: (
                { filename = "one"; device = "/dev/1"; },
                { ref = "#./inner"; },
                { ref = "#/software/elsewhere/more"; },
                { filename = "five"; device = "/dev/5"; }
            );
            inner: { filename = "two"; device = "/dev/2"; };
            rev-a: { images: ( { filename = "a"; device = "/dev/a"; } ); };
            rev-b: { ref = "#./rev-a"; };
            rev-c: { ref = "#./base"; };
            rev-d: { ref = "#./../../elsewhere"; };
        };
    };
    elsewhere: {
        more: ( { filename = "three"; device = "/dev/3"; }, { ref = "#./last"; } );
        last: { filename = "four"; device = "/dev/4"; };
        images: ( { filename = "d"; device = "/dev/d"; } );
    };
};
"""


def tree_of(text: str) -> dict[str, Any]:
    return dict(description.parse(text.encode()))


def chosen(text: str, board: str = "", wanted: str | None = None, **options: Any) -> Description:
    return select(tree_of(text), board, Selection.parse(wanted) if wanted else None, **options)


def names(found: Description) -> list[str | None]:
    return [entry.filename for entry in found.entries]


def devices(found: Description) -> list[str | None]:
    return [entry.device for entry in found.entries]


def with_entry(**attributes: Any) -> dict[str, Any]:
    """A description of one image with these attributes; underscores stand for hyphens, None removes."""
    image = {"filename": "a.bin", "device": "/dev/vda2"}
    image |= {name.replace("_", "-"): value for name, value in attributes.items()}
    image = {name: value for name, value in image.items() if value is not None}
    return {"software": {"version": "1", "images": [image]}}


def entry_with(**attributes: Any) -> Entry:
    (entry,) = select(with_entry(**attributes), "", None).entries
    return entry


def refusal(tree: dict[str, Any], code: str = "description-content", **options: Any) -> UpdateError:
    with pytest.raises(UpdateError) as caught:
        select(tree, options.pop("board", ""), options.pop("selection", None), **options)
    assert caught.value.code == code
    return caught.value


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
