"""What a release file may say, and what happens when it says something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
