"""What a release file may say, and what happens when it says something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from packager import release
from packager.interfaces import Measured
from packager.tests.conftest import TYPES, Project

RAW = TYPES["raw"]


@pytest.mark.parametrize(
    ("image", "code", "word"),
    [
        ('type = "delta"', "config-key", "url"),
        ('type = "delta"\nurl = "ftp://example.com/"', "config-value", "ftp://"),
        ('type = "delta"\nurl = "updates/"', "config-value", "updates/"),
        ('type = "delta"\nurl = "https:///x/"', "config-value", "https:///x/"),
        ('type = "delta"\nurl = "https://example.com/?token=1"', "config-value", "token"),
        ('type = "delta"\nurl = "https://me:secret@example.com/"', "config-value", "password"),
        ('type = "delta"\nurl = "https://example.com/a b/"', "config-value", "a b"),
        ('type = "delta"\nurl = "https://[1/"', "config-value", "https://[1/"),
        ('type = "delta"\nurl = "https://example.com:x/"', "config-value", ":x/"),
        ('type = "rdiff_image"', "config-key", "base"),
        ('type = "rdiff_image"\nbase = "absent.img"', "file-missing", "absent.img"),
        ('type = "rdiff_image"\nbase = "empty.img"', "release-content", "empty"),
        ('type = "rdiff_image"\nbase = "v1.img"\nblock = 64', "config-value", "128 to"),
        ('type = "rdiff_image"\nbase = "v1.img"\nblock = 2097152', "config-value", "2097152"),
        ('type = "rdiff_image"\nbase = "v1.img"\nblock = "1024"', "config-value", "integer"),
        ('type = "raw"\ncompressed = "lzma"', "config-value", "zstd"),
        ('type = "raw"\nlevel = 20', "config-value", "1 to 19"),
        ('type = "raw"\ncompressed = "none"\nlevel = 1', "config-key", "level"),
        ('type = "raw"\nurl = "https://example.com/"', "config-key", "url"),
        ('type = "tap-dance"', "config-value", "rdiff_image"),
        ("", "config-key", "type"),
        (f'{RAW}\n[[image]]\nname = "rootfs"\nfile = "v1.img"\n{RAW}', "release-content", "rootfs"),
        (f'{RAW}\n[[image]]\nname = "data"\nfile = "v1.img"\n{RAW}', "release-content", "one device"),
    ],
)
def test_an_image_that_cannot_be_built_is_refused_by_name(
    project: Project, image: str, code: str, word: str
) -> None:
    (project.folder / "empty.img").touch()
    answer = project.build(image)
    assert (answer.status, answer.code) == (6, code)
    assert word in answer.log
    assert not project.out.exists()


@pytest.mark.parametrize(
    ("old", "new", "code", "word"),
    [
        ('version = "2.0.0"', "", "config-key", "version"),
        ('version = "2.0.0"', "version = 2", "config-value", "a string"),
        ('version = "2.0.0"', 'version = "2.0/0"', "config-value", "2.0/0"),
        ('version = "2.0.0"', 'version = "2.0.0+1"', "config-value", "+1"),
        ('version = "2.0.0"', 'versoin = "2.0.0"', "config-key", "version"),
        ('name = "gateway"', f'description = "{"ä" * 128}"', "config-value", "255"),
        ('name = "gateway"', 'name = "../gateway"', "config-value", "../gateway"),
        ('name = "gateway"', f'name = "{"g" * 65}"', "config-value", "64"),
        ('name = "rootfs"', 'name = "root fs"', "config-value", "root fs"),
        ('name = "rootfs"', 'name = "-rootfs"', "config-value", "-rootfs"),
        ('name = "rootfs"', 'name = "wurzel/ä"', "config-value", "ä"),
        ('file = "v2.img"', 'file = "absent.img"', "file-missing", "absent.img"),
        ('file = "v2.img"', 'file = "."', "file-missing", "a folder"),
        ('file = "v2.img"', 'file = "empty.img"', "release-content", "empty"),
        ("[[image]]", "[[images]]", "config-key", "images"),
        ("[[image]]", "[image]", "config-value", "tables"),
        ('board = "demo"', 'board = "dmeo"', "file-missing", "demo"),
        ('board = "demo"', 'board = "absent.toml"', "file-missing", "absent.toml"),
        ('board = "demo"', 'board = "twice.toml"', "config-value", "two devices"),
        ("[sign]", "[singing]", "config-key", "singing"),
        ("key = ", "Key = ", "config-key", "Key"),
        ("certificate = ", "# certificate = ", "config-key", "certificate"),
        ('.key"', '.kee"', "file-missing", ".kee"),
        ("[sign]", "[sign", "config-syntax", "line"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(
    project: Project, old: str, new: str, code: str, word: str
) -> None:
    (project.folder / "empty.img").touch()
    (project.folder / "twice.toml").write_text(
        'name = "twice"\nrevisions = ["1"]\n'
        '[slots.a]\ndevice = "/dev/a"\nmode = "a"\n[slots.b]\ndevice = "/dev/a"\nmode = "b"\n'
    )
    path = project.write("raw")
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    answer = project.otapack("build", path, "-o", project.out)
    assert (answer.status, answer.code) == (6, code)
    assert word in answer.log
    assert not project.out.exists()


def test_a_file_that_cannot_be_read_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path).name != "v2.img"
    )  # root may read anything
    answer = project.build("raw")
    assert answer.code == "file-missing" and "permission" in answer.log


def test_an_uncompressed_image_of_4_gib_is_refused_before_it_is_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Measured, "read")
    with (project.folder / "large.img").open("wb") as file:
        file.truncate(4 << 30)
    path = project.write('type = "raw"\ncompressed = "none"')
    path.write_text(path.read_text().replace("v2.img", "large.img"))
    answer = project.otapack("build", path, "-o", project.out)
    assert (answer.status, answer.code) == (6, "release-content")
    assert answer.json["error"]["found"] == str(4 << 30)
    assert not list(project.out.iterdir())


def test_a_board_may_be_a_file_beside_the_release(project: Project) -> None:
    (project.folder / "own.toml").write_text(
        'name = "own"\nrevisions = ["7", "8"]\nset = "main"\n'
        '[slots.one]\ndevice = "/dev/one"\nmode = "first"\n'
        '[slots.two]\ndevice = "/dev/two"\nmode = "second"\nbootenv = { active = "two" }\n'
    )
    answer = project.build("raw", board="own.toml")
    assert answer.json["hardware"] == ["7", "8"]
    choices = {choice["selection"]: choice for choice in answer.json["choices"]}
    assert list(choices) == ["main,first", "main,second"]
    assert choices["main,first"]["bootenv"] == {}
    assert choices["main,second"]["bootenv"] == {"active": "two"}


def test_the_archive_is_named_after_the_board_where_the_release_has_no_name(project: Project) -> None:
    path = project.write("raw")
    path.write_text(path.read_text().replace('name = "gateway"\n', ""))
    assert project.otapack("build", path, "-o", project.out).json["package"] == "demo-2.0.0.swu"


@pytest.mark.parametrize(
    ("image", "code", "word"),
    [
        ('methods = ["rdiff"]', "config-value", "serves every device"),
        ('methods = ["zchunk", "zchunk"]', "config-value", "zchunk"),
        ('methods = ["zchunk", "bsdiff"]', "config-value", "bsdiff"),
        ('methods = "zchunk"', "config-value", "a list"),
        ("block = 64", "config-value", "128 to"),
        ("rdiff-level = 0", "config-value", "rdiff-level"),
        ("full-level = 20", "config-value", "1 to 19"),
        ("level = 23", "config-value", "1 to 22"),
        ('sbom = "absent.json"', "file-missing", "absent.json"),
    ],
)
def test_a_delta_is_refused_by_name_too(project: Project, image: str, code: str, word: str) -> None:
    answer = project.build(f"{TYPES['delta']}\n{image}")
    assert (answer.status, answer.code) == (6, code)
    assert word in answer.log
    assert not project.out.exists()


@pytest.mark.parametrize(
    ("head", "code", "word"),
    [
        ('[device]\nmemory = "48"\nspace = true', "config-key", "device.space"),
        ('[device]\nmemory = "lots"', "config-value", "48M"),
        ('[device]\nspare-space = "no"', "config-value", "true or false"),
        ("[budget]\nmax-bytes = 20", "config-value", "a string"),
        ('[budget]\nmax = "20M"', "config-key", "budget.max"),
        ("[hooks]\nbetween = []", "config-key", "hooks.between"),
        ('[bases]\nfolder = "x"', "config-key", "bases.folder"),
        ('[[base]]\nversion = "1"\nfile = "v1.img"', "config-key", "base 1.file"),
        ('boards = ["demo"]', "config-key", "both"),
    ],
)
def test_a_wrong_key_of_the_other_tables_is_refused(
    project: Project, head: str, code: str, word: str
) -> None:
    answer = project.build("raw", head)
    assert (answer.status, answer.code) == (6, code)
    assert word in answer.log


def test_a_package_may_be_for_several_boards(project: Project) -> None:
    slots = "".join(
        f'[slots.{name}]\ndevice = "/dev/{name}"\nmode = "{name}"\nbootenv = {{ start = "{name}" }}\n'
        for name in ("x", "y")
    )
    (project.folder / "other.toml").write_text(f'name = "other"\nrevisions = ["7"]\n{slots}')
    path = project.write("raw")
    path.write_text(path.read_text().replace('board = "demo"', 'boards = ["demo", "other.toml"]'))
    answer = project.otapack("build", path, "-o", project.out)
    found = {
        (choice["board"], choice["selection"]): choice["entries"][0]["device"]
        for choice in answer.json["choices"]
    }
    assert found == {
        ("demo", "stable,copy-a"): "/dev/mmcblk0p2",
        ("demo", "stable,copy-b"): "/dev/mmcblk0p3",
        ("other", "stable,x"): "/dev/x",
        ("other", "stable,y"): "/dev/y",
    }
    assert answer.json["hardware"] == ["1.0", "7"]
    path.write_text(path.read_text().replace('name = "gateway"\n', ""))
    assert "name" in project.otapack("build", path, "-o", project.out).log
    for boards, word in (('["demo", "demo"]', "two are named"), ("[]", "neither")):
        answer = project.otapack("build", path, "-o", project.out, "--set", f"boards={boards}")
        assert answer.status == 6 and word in answer.log


@pytest.mark.parametrize("kind", ["raw", "delta"])
def test_an_image_that_outgrew_its_slot_is_refused_before_it_is_read(
    project: Project, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    slot = 48 << 20  # boards/qemu-arm64.toml
    for size, status in ((slot, 0), (slot + 1, 6)):
        with (project.folder / "grown.img").open("wb") as file:
            file.truncate(size)
        path = project.write(f"{TYPES[kind]}\n", board="qemu-arm64")
        path.write_text(path.read_text().replace("v2.img", "grown.img"))
        if status:
            monkeypatch.delattr(Measured, "read")
            answer = project.otapack("build", path, "-o", project.out)
            assert (answer.status, answer.code) == (6, "release-content")
            assert answer.json["error"]["expected"] == f"at most {slot} bytes"
        else:
            assert release.read(path)


def test_an_image_that_shrank_is_built_from_a_larger_base(project: Project) -> None:
    (project.folder / "small.img").write_bytes(project.v2[: 1 << 20])
    base = '[[base]]\nversion = "1.0.0"\nimages = { rootfs = "v2.img" }\n'
    path = project.write(TYPES["delta"] + '\nmethods = ["zchunk", "rdiff"]\n' + base)
    more = ("--set", "image.rootfs.file=small.img")
    answer = project.otapack("build", path, "-o", project.out, *more)
    assert answer.json["artifacts"][0]["image_size"] == 1 << 20
