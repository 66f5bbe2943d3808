"""--set: values of a release file on the command line."""

from __future__ import annotations

import pytest

from ota.errors import ConfigError
from packager import overrides
from packager.tests.conftest import Project

FILE = {
    "version": "2.0.0",
    "image": [{"name": "rootfs", "level": 3}, {"name": "kernel", "slots": {"a": {"device": "/dev/a"}}}],
    "base": [{"version": "1.0.0"}],
    "sign": {"key": "old.key"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("new=word", "word"),
        ("new=2.1.0", "2.1.0"),
        ("new=2.1", "2.1"),
        ("new=2026-11-22", "2026-11-22"),
        ("new=a=b", "a=b"),
        ("new=", ""),
        ("new=20", 20),
        ('new="20"', "20"),
        ("new=true", True),
        ("new = word ", "word"),
        ('new=["a", "b"]', ["a", "b"]),
        ("new={ a = 1 }", {"a": 1}),
    ],
)
def test_a_value_is_toml_or_the_string_that_it_is(text: str, value: object) -> None:
    assert overrides.apply(FILE, [text])["new"] == value


def test_a_number_in_place_of_a_string_is_one() -> None:
    assert overrides.apply(FILE, ["version=3"])["version"] == "3"
    assert overrides.apply(FILE, ["image.rootfs.level=9"])["image"][0]["level"] == 9  # type: ignore[index]


def test_entries_go_by_name_and_bases_by_version() -> None:
    changed = overrides.apply(
        FILE,
        ["image.kernel.slots.a.device=/dev/b", 'base."1.0.0".folder=out', "sign.key=new.key", "vars.x=y"],
    )
    assert changed == {
        **FILE,
        "image": [FILE["image"][0], {"name": "kernel", "slots": {"a": {"device": "/dev/b"}}}],  # type: ignore[index]
        "base": [{"version": "1.0.0", "folder": "out"}],
        "sign": {"key": "new.key"},
        "vars": {"x": "y"},
    }
    assert FILE["sign"] == {"key": "old.key"}


def test_the_last_of_two_counts() -> None:
    assert overrides.apply(FILE, ["version=3", "version=4"])["version"] == "4"


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("version", "config-syntax", "KEY=VALUE"),
        ("=1", "config-syntax", "not a key"),
        ("a b=1", "config-syntax", "not a key"),
        ("new=[1", "config-syntax", "not a value"),
        ("image.modem.file=x", "config-key", "rootfs or kernel"),
        ("image.rootfs=x", "config-key", "image"),
        ("version.x=1", "config-key", "version"),
    ],
)
def test_what_leads_nowhere_is_refused(text: str, code: str, word: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        overrides.apply(FILE, [text])
    assert refusal.value.code == code and word in str(refusal.value)


def test_the_whole_is_read_as_strictly_as_the_file(project: Project) -> None:
    path = project.write("raw")
    more = ("--set", "version=2.1", "--set", "image.rootfs.level=1", "--set", "image.rootfs.file=v1.img")
    answer = project.otapack("build", path, "-o", project.out, *more)
    assert answer.json["package"] == "gateway-2.1.swu"
    assert answer.json["artifacts"][0]["image_size"] == (project.folder / "v1.img").stat().st_size
    refused = {
        "versoin=2": "config-key", "file.app.path=/x": "config-value", "image.rootfs.levle=1": "config-key",
        "image.rootfs.level=high": "config-value",
    }  # fmt: skip
    for text, code in refused.items():
        assert project.otapack("build", path, "-o", project.out, "--set", text).code == code
