"""The catalogue: what is kept of each release, in a folder and in a bucket."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from ota.errors import OtaError
from packager import catalogue, record, store
from packager.store import Store
from packager.tests import outputs
from packager.tests.conftest import Project
from packager.tests.outputs import HEADER, release

DAY = 24 * 60 * 60


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store where nothing is yet."""
    if request.param == "folder":
        return store.open(str(tmp_path / "catalogue"))
    request.getfixturevalue("client")
    return store.open("s3://releases/records/of/all")


def test_a_release_that_was_added_is_read_again(place: Store) -> None:
    assert catalogue.read(place, "gateway") == ()
    added = release()
    assert catalogue.add(place, added, {"rootfs": HEADER})
    assert catalogue.read(place, "gateway") == (added,)
    assert catalogue.manifest(place, added, "rootfs") == HEADER
    assert catalogue.manifest(place, added, "kernel") is None
    assert catalogue.products(place) == ["gateway"]
    assert place.names() == ["gateway/2.0.0.json", "gateway/2.0.0/rootfs.zck-header"]
    assert added.images["rootfs"].zck == "rootfs-2.0.0.zck"
    assert catalogue.read(place, "other") == ()


def test_a_release_is_added_once_however_often_it_is_built(place: Store) -> None:
    first = release()
    catalogue.add(place, first, {"rootfs": HEADER})
    later = replace(first, when=first.when + DAY, tools={"zstd": "9"}, commit=None)
    assert not catalogue.add(place, later, {"rootfs": HEADER})
    assert catalogue.read(place, "gateway") == (first,)


def test_another_release_of_the_same_version_is_refused_and_nothing_is_written(place: Store) -> None:
    first = release()
    catalogue.add(place, first, {"rootfs": HEADER})
    with pytest.raises(OtaError) as refusal:
        catalogue.add(place, release(content="c"), {"rootfs": HEADER})
    assert refusal.value.code == "release-exists"
    assert catalogue.read(place, "gateway") == (first,)
    assert catalogue.add(place, release(content="c"), {"rootfs": HEADER}, overwrite=True)
    assert catalogue.read(place, "gateway") == (release(content="c"),)


def test_what_is_removed_leaves_nothing(place: Store) -> None:
    catalogue.add(place, release(), {"rootfs": HEADER})
    catalogue.remove(place, release())
    assert place.names() == []


def test_a_manifest_that_is_gone_is_none_and_an_altered_one_is_an_error(place: Store) -> None:
    catalogue.add(place, release(), {"rootfs": HEADER})
    name = "gateway/2.0.0/rootfs.zck-header"
    place.write(name, HEADER[:-1])
    with pytest.raises(OtaError) as refusal:
        catalogue.manifest(place, release(), "rootfs")
    assert refusal.value.code == "catalogue-record"
    place.remove(name)
    assert catalogue.manifest(place, release(), "rootfs") is None


def test_the_same_release_gives_the_same_bytes_in_whatever_order_it_was_told() -> None:
    told = release()
    images = dict(reversed(list(told.images.items())))
    tools = dict(reversed(list(told.tools.items())))
    rootfs = images["rootfs"]
    images["rootfs"] = replace(rootfs, published=tuple(reversed(rootfs.published)))
    assert record.render(replace(told, images=images, tools=tools)) == record.render(told)
    assert record.parse(record.render(told), told.name, "here") == told


def test_a_record_says_which_fields_it_has() -> None:
    """The docstring of `packager.record` is where they are explained."""
    values = json.loads(record.render(release()))
    image = values["images"]["rootfs"]
    for key in (*values, *image, "target", *image["manifest"], *image["published"][0]):
        assert f"  {key} " in str(record.__doc__).replace("\n", " \n"), key


GOOD = record.render(release()).decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"schema": 1', '"schema": 2'),
        ('"schema": 1,', ""),
        ('"product": "gateway"', '"product": "other"'),
        ('"product": "gateway"', '"product": "../gateway"'),
        ('"version": "2.0.0"', '"version": "2.0.1"'),
        ('"when": 1700000000', '"when": "yesterday"'),
        ('"when": 1700000000', '"when": -1'),
        ('"boards": [', '"bored": ['),
        ('"size": 3145728', '"size": 3145728.5'),
        ('"size": 3145728', '"size": -1'),
        ('"sha256": "' + "a" * 64, '"sha256": "' + "A" * 64),
        ('"file": "rootfs.zck-header"', '"file": "../../rootfs.zck-header"'),
        ('"method": "rdiff"', '"method": "magic"'),
        ('"commit": "0123abcd"', '"commit": null'),
        ('"images": {', '"images": [], "more": {'),
        ("{", "[", ),
        (GOOD, ""),
        (GOOD, "[]"),
        (GOOD, "\udcff"),
    ],
)  # fmt: skip
def test_a_damaged_record_is_an_error_that_names_it(tmp_path: Path, old: str, new: str) -> None:
    place = store.open(str(tmp_path))
    assert old in GOOD
    place.write("gateway/2.0.0.json", GOOD.replace(old, new, 1).encode(errors="surrogateescape"))
    with pytest.raises(OtaError) as refusal:
        catalogue.read(place, "gateway")
    assert refusal.value.code == "catalogue-record"
    assert "gateway/2.0.0.json" in str(refusal.value) and str(tmp_path) in str(refusal.value)


def test_any_damage_of_a_record_is_an_error_or_no_damage() -> None:
    chance = random.Random(6)
    good = GOOD.encode()
    for _ in range(300):
        damaged = bytearray(good)
        damaged[chance.randrange(len(good))] = chance.randrange(256)
        try:
            record.parse(bytes(damaged), "gateway/2.0.0.json", "here")
        except OtaError as error:
            assert error.code == "catalogue-record"


def test_pruning_keeps_the_newest_and_forgets_the_oldest_first() -> None:
    ages = [0, 1, 10, 100]
    known = [release(f"1.{age}", when=1000 * DAY - age * DAY) for age in ages]
    now = 1000 * DAY

    def going(**rules: int) -> list[str]:
        return [each.version for each in catalogue.prune(known, now=now, **rules)]

    assert going() == []
    assert going(keep=2) == ["1.100", "1.10"]
    assert going(keep=9) == []
    assert going(max_age_days=10) == ["1.100"]
    assert going(max_age_days=5, keep=3) == ["1.100", "1.10"]
    assert going(max_age_days=99, keep=2) == ["1.100", "1.10"]
    assert [each.version for each in catalogue.prune(known, now=now + 999 * DAY, max_age_days=1)] == [
        "1.100", "1.10", "1.1",
    ]  # fmt: skip


def test_the_verb_lists_adds_and_prunes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    place = project.folder / "catalogue"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(1000 * DAY))
    for days in (1, 2, 3):
        out = outputs.write(project.folder / f"out-{days}", record=release(f"{days}.0", when=days * DAY))
        assert project.otapack("catalogue", "add", place, out).json["added"] is True
    assert project.otapack("catalogue", "add", place, out).json["added"] is False
    listed = project.otapack("catalogue", "list", place, "gateway")
    assert [each["version"] for each in listed.json["releases"]] == ["1.0", "2.0", "3.0"]
    rules = ("gateway", "--keep", "2", "--max-age-days", "997")
    foreseen = project.otapack("catalogue", "prune", place, *rules)
    assert [each["version"] for each in foreseen.json["going"]] == ["1.0", "2.0"]
    assert len(project.otapack("catalogue", "list", place).json["releases"]) == 3
    assert project.otapack("catalogue", "prune", place, *rules, "--remove").status == 0
    assert [path.name for path in sorted(place.rglob("*.json"))] == ["3.0.json"]
    assert [path.parent.name for path in place.rglob("*.zck-header")] == ["3.0"]


def test_a_copy_knows_what_the_catalogue_knows_and_nothing_else(project: Project) -> None:
    first, second = (store.open(str(project.folder / name)) for name in ("first", "second"))
    for version in ("1.0.0", "2.0.0"):
        catalogue.add(first, release(version), {"rootfs": HEADER})
    catalogue.add(second, release("0.9.0"), {"rootfs": HEADER})
    catalogue.add(second, release("2.0.0", content="c"), {"rootfs": HEADER})
    copied = project.otapack("catalogue", "copy", first.target, second.target)
    assert (copied.json["added"], copied.json["removed"]) == (2, 1)
    assert second.names() == first.names()
    assert catalogue.read(second, "gateway") == catalogue.read(first, "gateway")
    again = project.otapack("catalogue", "copy", first.target, second.target)
    assert (again.json["added"], again.json["removed"]) == (0, 0)


def test_pruning_without_a_rule_and_adding_what_is_no_record_are_refused(project: Project) -> None:
    assert project.otapack("catalogue", "prune", project.folder, "gateway").code == "config-value"
    assert (
        project.otapack("catalogue", "add", project.folder / "c", project.folder).code == "build-incomplete"
    )
    out = outputs.write(project.folder / "out")
    (out / "record/gateway/2.0.0/rootfs.zck-header").unlink()
    assert project.otapack("catalogue", "add", project.folder / "c", out).code == "build-incomplete"
    assert not (project.folder / "c").exists()
