"""Every type, in both forms: a device reads what the release file says, and nothing is said in vain."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from handlers import HANDLERS
from ota.formats import cpio, description
from ota.formats.description import Form
from ota.formats.selection import Compression, Description, Entry, Section, Selection, select
from ota.io.readers import blocks
from packager import builders
from packager.entries import KEYS
from packager.tests import examples
from packager.tests.conftest import Project
from packager.tests.examples import ENTRIES, entry
from packager.types import TYPES


def described(package: Path) -> bytes:
    with package.open("rb") as file:
        return next(b"".join(blocks(reader)) for _, reader in cpio.members(file))


def chosen(package: Path, mode: str = "copy-b") -> Description:
    return select(description.parse(described(package)), "demo", Selection("stable", mode), required=True)


def head(kind: str, form: Form) -> str:
    """What a release of that entry alone has to say."""
    row = TYPES[kind]
    return f'format = "{form}"' + ("" if row.is_for_slots else "\nswitch = false")


def test_every_type_has_an_example() -> None:
    assert set(ENTRIES) == set(TYPES)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("kind", TYPES)
def test_an_entry_is_read_back_as_it_was_written(project: Project, kind: str, form: Form) -> None:
    answer = project.build_release(entry(kind), head(kind, form))
    assert answer.status == 0, answer.log
    assert (described(project.package)[:1] == b"{") == (form is Form.JSON)
    found = chosen(project.package)
    (only,) = found.entries
    key, _ = ENTRIES[kind]
    assert (only.type, only.section.removesuffix("s"), only.name) == (kind, key, kind)
    assert (only.filename is not None) == (TYPES[kind].builder is not None)
    assert found.bootenv == ({"boot_slot": "b"} if TYPES[kind].is_for_slots else {})
    assert project.verify().status == 0


@pytest.mark.parametrize("kind", TYPES)
def test_both_forms_say_the_same(project: Project, kind: str) -> None:
    found = []
    for form in Form:
        assert project.build_release(entry(kind), head(kind, form)).status == 0
        found.append([chosen(project.package, mode) for mode in ("copy-a", "copy-b")])
    assert found[0] == found[1]


def test_all_attributes_arrive(project: Project) -> None:
    kinds = ("raw", "archive", "rawfile", "postinstall", "gptpart", "emmc_boot")
    assert project.build_release("\n".join(map(entry, kinds))).status == 0
    found = {only.type: only for only in chosen(project.package).entries}
    size = dict(project.otapack("inspect", project.package).json["artifacts"][0])["member_size"]
    assert (found["raw"].offset, found["raw"].device) == (3 << 30, "/dev/mmcblk0p3")
    assert found["raw"].install_if_different and found["raw"].size is not None
    assert size > 0
    archive = found["archive"]
    assert (archive.path, archive.filesystem, archive.device) == ("/srv", "ext4", "/dev/mmcblk0p7")
    assert archive.installed_directly and archive.preserve_attributes
    assert archive.compressed is Compression.ZLIB
    assert archive.property("create-destination") == "true"
    assert (found["rawfile"].version, found["rawfile"].install_if_higher) == ("7.3", True)
    assert found["raw"].version == "2.0.0"
    assert found["postinstall"].data == "--first"
    assert (found["gptpart"].volume, found["gptpart"].offset) == ("one", 1024)
    assert found["emmc_boot"].device == "/dev/mmcblk0boot1"
    (toggled,) = (e for e in chosen(project.package, "copy-a").entries if e.type == "emmc_boot")
    assert toggled.device == "/dev/mmcblk0boot0"
    unsaid = {"aes_key", "ivt", "encrypted"}
    said = {
        f.name for f in fields(Entry) for e in found.values() if getattr(e, f.name) not in (None, f.default)
    }
    assert said == {f.name for f in fields(Entry)} - unsaid


def test_what_differs_between_slots_adds_to_what_does_not(project: Project) -> None:
    entries = (
        '[[image]]\nname = "x"\ntype = "delta"\nfile = "v2.img"\nurl = "https://x.example/"\n'
        'properties = { max-ranges = "10", source = "/dev/both" }\ndevice = "/dev/both-too"\n'
        '[image.slots.b]\ndevice = "/dev/b"\nproperties = { source = "/dev/a", source-size = "1M" }\n'
    )
    assert project.build_release(entries, "switch = false").status == 0
    found = {}
    for mode in ("copy-a", "copy-b"):
        (only,) = chosen(project.package, mode).entries
        names = ("max-ranges", "source", "source-size", "chain")
        found[mode] = (only.device, *map(only.property, names))
    assert found == {
        "copy-a": ("/dev/both-too", "10", "/dev/both", None, "raw"),
        "copy-b": ("/dev/b", "10", "/dev/a", "1M", "raw"),
    }


def test_two_images_may_go_to_one_device_at_different_offsets(project: Project) -> None:
    second = '[[image]]\nname = "x"\ntype = "raw"\nfile = "v2.img"\nlevel = 3\n'
    assert project.build_release(f"{entry('raw')}\n{second}").status == 0
    assert project.verify().status == 0
    assert [found.offset for found in chosen(project.package).entries] == [3 << 30, 0]


def test_whether_the_slot_is_started_follows_from_what_is_installed_or_is_said(project: Project) -> None:
    def bootenv(entries: str, head: str = "") -> object:
        assert project.build_release(entries, head).status == 0
        return chosen(project.package).bootenv

    own = ['[[file]]\nname = "x"\ntype = "rawfile"\nfile = "run.sh"\npath = "/x"\nfilesystem = "ext4"']
    own += ['slots.a = { device = "/dev/mmcblk0p2" }', 'slots.b = { device = "/dev/mmcblk0p3" }']
    assert bootenv("\n".join(own)) == {"boot_slot": "b"}
    assert bootenv(entry("raw"), "switch = false") == {}
    assert bootenv(entry("rawfile"), "switch = true") == {"boot_slot": "b"}
    assert bootenv(entry("rawfile"), "switch = false") == {}
    assert bootenv(entry("raw") + '\n[bootenv]\nboot_slot = "x"', "switch = false") == {"boot_slot": "x"}


def test_entries_keep_their_order_and_partitions_come_first(project: Project) -> None:
    lines = [
        f'[[script]]\nname = "{name}"\ntype = "postinstall"\nfile = "run.sh"' for name in ("z", "a", "m")
    ]
    text = "\n".join([*lines, entry("rawfile"), entry("raw"), entry("diskformat")])
    assert project.build_release(text).status == 0
    names = [found.name for found in chosen(project.package).entries]
    assert names == ["diskformat", "raw", "rawfile", "z", "a", "m"]


@pytest.mark.parametrize("form", Form)
def test_the_common_fields_arrive(project: Project, form: Form) -> None:
    answer = project.build_release(
        entry("raw") + '\n[bootenv]\nx = ""\n[vars]\nchannel = "beta"\n',
        f'format = "{form}"\nsoftware-name = "Gateway"\nupdate-type = "os"\nreboot = false\n'
        'namespace-for-vars = "space"\nbootloader_state_marker = false\n'
        "bootloader_transaction_marker = false",
    )
    assert answer.status == 0, answer.log
    found = chosen(project.package)
    assert (found.name, found.update_type, found.namespace, found.reboot) == ("Gateway", "os", "space", False)
    assert not found.state_marker and not found.transaction_marker
    assert found.bootenv == {"boot_slot": "b", "x": ""}
    assert found.vars == {"channel": "beta"}
    printed = "\n".join(answer.json)
    assert "bootloader_state_marker" in printed


def test_long_lengths_are_strings_in_json_and_marked_in_libconfig(project: Project) -> None:
    lines = entry("diskformat") + '\n[[partition]]\nname = "x"\ntype = "diskpart"\ndevice = "/dev/sdc"\n'
    lines += 'size = "2G"\n[partition.properties]\nlabeltype = "dos"\npartition-1 = ["size=1M"]'
    assert project.build_release(lines, 'switch = true\nformat = "json"').status == 0
    tree = json.loads(described(project.package))
    assert tree["software"]["demo"]["stable"]["copy-a"]["partitions"][1]["size"] == "2147483648"
    assert chosen(project.package).entries[1].size == 2 << 30
    assert project.build_release(lines, "switch = true").status == 0
    assert b"size = 2147483648L;" in described(project.package)


def test_devices_and_packager_agree_on_where_a_type_stands() -> None:
    for kind, handler in HANDLERS.items():
        assert TYPES[kind].sections == handler.sections, kind
        assert TYPES[kind].builder is not None or not handler.has_data, kind


RAW = '[[image]]\nname = "x"\ntype = "raw"\nfile = "v2.img"\n'
SCRIPT = '[[script]]\nname = "x"\n'


@pytest.mark.parametrize(
    ("entries", "code", "word"),
    [
        (SCRIPT + 'type = "lua"\nfile = "run.sh"', "config-value", "Lua"),
        ('[[image]]\nname = "x"\ntype = "ubivol"\nfile = "v2.img"', "config-value", "UBI"),
        ('[[image]]\nname = "x"\ntype = "flash"\nfile = "v2.img"', "config-value", "flash"),
        ('[[image]]\nname = "x"\ntype = "docker_imageload"\nfile = "v2.img"', "config-value", "Docker"),
        ('[[image]]\nname = "x"\ntype = "remote"\nfile = "v2.img"', "config-value", "other processes"),
        ('[[image]]\nname = "x"\ntype = "tap-dance"', "config-value", "gptpart"),
        ('[[file]]\nname = "x"\ntype = "raw"\nfile = "v2.img"', "config-value", "[[image]]"),
        ('[[image]]\nname = "x"\ntype = "shellscript"\nfile = "run.sh"', "config-value", "[[script]]"),
        (RAW + 'path = "/x"', "release-content", "path means nothing"),
        (RAW + 'data = "x"', "release-content", "data means nothing"),
        (RAW + "preserve-attributes = true", "release-content", "preserve-attributes"),
        (RAW + 'properties = { create-destination = "true" }', "release-content", "create-destination"),
        (RAW + "properties = { x = 1 }", "config-value", "a string"),
        (RAW + 'properties = { x = ["1", 2] }', "config-value", "list of strings"),
        (RAW + 'mtdname = "x"', "config-key", "mtdname"),
        (RAW + f'ivt = "{examples.DIGEST[:32]}"', "config-key", "ivt"),
        (RAW + 'slots.c = { device = "/dev/x" }', "config-key", "a or b"),
        (RAW + 'slots.a = { type = "raw" }', "config-key", "type"),
        (RAW + "offset = 1024", "config-value", "offset"),
        (RAW + f'device = "/dev/{"x" * 255}"', "release-content", "255"),
        (entry("delta") + '\ndevice = "/dev/x"', "release-content", "source"),
        (entry("rdiff_image") + '\ndevice = "/dev/x"', "release-content", "rdiffbase"),
        (entry("rdiff_image") + '\noffset = "1K"', "release-content", "offset"),
        (entry("delta").replace("\nurl", "\ninstalled-directly = true\nurl"), "release-content", "directly"),
        (entry("archive").replace('path = "/srv"', ""), "release-content", "path is missing"),
        (entry("archive").replace('filesystem = "ext4"', ""), "release-content", "belong together"),
        (entry("archive").replace('"true"', '"yes"'), "release-content", "yes"),
        (entry("gptpart").replace("volume", "#"), "release-content", "volume is missing"),
        (entry("executor").replace("cmd", "parms").replace(', parms = "-"', ""), "release-content", "cmd"),
        (entry("executor").replace("/bin/cat", "cat"), "release-content", "cmd"),
        (entry("readback").replace("sha256 =", "offset ="), "release-content", "offset"),
        (entry("readback").replace(", size", ', offset = "0x10", size'), "release-content", "0x10"),
        (entry("copy").replace("copyfrom", "#"), "release-content", "copyfrom is missing"),
        (entry("copy").replace("rawfile", "raw"), "release-content", "device is missing"),
        (entry("copy").replace("rawfile", "ubivol"), "release-content", "ubivol"),
        (entry("diskpart").replace("gpt", "mbr"), "release-content", "mbr"),
        (entry("diskpart").replace("fstype=", "fstype ="), "release-content", "fstype ="),
        (entry("diskpart").replace("fstype=ext4", "flag=boot"), "release-content", "flag"),
        (entry("diskpart").replace("partition-", "partition"), "release-content", "partition1"),
        (entry("diskpart") + '\npartition-x = "size=1M"', "release-content", "partition-x"),
        (entry("diskformat").replace("ext4", "ntfs"), "release-content", "ntfs"),
        (entry("uniqueuuid").replace('device = "/dev/sdb"', ""), "release-content", "device is missing"),
        (entry("gptswap").replace("swap-0", "swap-2"), "release-content", "swap-0"),
        (entry("gptswap").replace('"c", ', ""), "release-content", "two partitions"),
        (entry("emmc_boot").replace("boot1", "p1"), "release-content", "boot0"),
        (entry("toggleboot").replace('"1"', '"5"'), "release-content", "5"),
        (entry("toggleboot") + '\nfile = "run.sh"', "config-key", "file"),
        (entry("raw") + "\n" + RAW + 'offset = "3G"', "release-content", "same place"),
        (entry("delta") + "\n" + RAW, "release-content", "same place"),
        (RAW + "encrypted = true", "release-content", "[encrypt]"),
        (RAW + '[encrypt]\nkey = "aes.key"', "release-content", "no such entry"),
        (RAW + 'encrypted = true\n[encrypt]\nkey = "run.sh"', "config-value", "hex"),
        (RAW + '[bootenv]\nboot_slot = "a"', "release-content", "boot_slot"),
        (RAW + '[bootenv]\n"a b" = "x"', "config-value", "a b"),
        (RAW + '[vars]\na = "x\\ny"', "config-value", "vars.a"),
        (RAW + f'[vars]\na = "{"x" * 256}"', "config-value", "255"),
        (entry("rawfile"), "config-key", "switch"),
        ("", "release-content", "[[script]]"),
    ],
)
def test_what_would_be_refused_or_passed_over_later_is_refused_before_anything_is_built(
    project: Project, entries: str, code: str, word: str
) -> None:
    head = "" if "rawfile" in entries else "switch = true"
    answer = project.build_release(entries, head)
    assert (answer.status, answer.code) == (6, code), answer.log
    assert word in answer.log
    assert not project.out.exists()


def test_a_wrong_form_is_refused(project: Project) -> None:
    answer = project.build_release(RAW, 'format = "xml"')
    assert (answer.code, "libconfig or json" in answer.log) == ("config-value", True)


def test_the_readme_names_every_type_with_its_sections_and_properties() -> None:
    readme = (Path(builders.__file__).parent.parent / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    for kind, row in TYPES.items():
        line = next(line for line in rows if f"`{kind}`" in line.split("|")[1])
        _, _, under, keys, properties, _ = line.split("|")
        sections, _, payload = under.strip().partition(";")
        found = set(KEYS) if sections == "anywhere" else set(sections.split(", "))
        assert found == {key for key, section in KEYS.items() if section in row.sections}, kind
        assert bool(payload) == (row.builder is None), kind
        for name in row.needs:
            assert f"`{name}`" in keys or row.is_for_slots, (kind, name)
        for name in row.properties:
            known = name.replace("[1-9][0-9]*", "1").replace("[0-9]+", "0")
            assert f"`{known}`" in properties or name == row.base, (kind, name)


def test_sections_are_all_there_are() -> None:
    assert {section for row in TYPES.values() for section in row.sections} == set(Section)
