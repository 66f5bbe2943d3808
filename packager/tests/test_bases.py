"""What is known of earlier releases, wherever it lies; and why some are no base."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ota.errors import ConfigError, OtaError
from packager import bases, catalogue, release, store
from packager.bases import Base
from packager.choice import Reason
from packager.interfaces import Bases
from packager.tests.conftest import FindTool, Project

DAY = 86400
V1 = "1.0.0"


@pytest.fixture
def built(project: Project, earlier: Path) -> Path:
    """`earlier`, in the project."""
    folder = project.folder / "built"
    folder.symlink_to(earlier)
    return folder


def find(project: Project, head: str, tail: str = "", image: str = "delta", time: int = 0) -> Bases:
    path = project.write(image, head)
    path.write_text(path.read_text() + tail)
    return bases.find(release.read(path), time=time)["rootfs"]


def named(what: str, version: str = V1) -> str:
    return f'[[base]]\nversion = "{version}"\n{what}\n'


def only(found: Bases) -> Base:
    assert not found.refused
    (base,) = found.found
    return base


def reason(found: Bases) -> Reason:
    assert not found.found
    (refusal,) = found.refused
    assert refusal.version == V1
    return refusal.reason


def chunks(base: Base) -> list[tuple[int, bytes]]:
    return [(chunk.length, chunk.digest) for chunk in base.manifest]


@pytest.mark.tool("zck")
def test_a_base_is_the_same_wherever_it_is_taken_from(
    project: Project, built: Path, tool: FindTool, tmp_path: Path
) -> None:
    v1, zck = project.folder / "v1.img", (built / "publish/rootfs-1.0.0.zck").resolve()
    theirs = tmp_path / "theirs.zck"
    subprocess.run([tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", theirs, v1], check=True)
    catalogue.add(store.open(str(tmp_path / "catalogue")), *catalogue.load(built / "record"))
    found = {
        "image": only(find(project, "", named('images = { rootfs = "v1.img" }'))),
        "zck": only(find(project, "", named(f'images = {{ rootfs = "{zck}" }}'))),
        "theirs": only(find(project, "", named(f'images = {{ rootfs = "{theirs}" }}'))),
        "folder": only(find(project, "", named('folder = "built"'))),
        "catalogue": only(find(project, '[bases]\ncatalogue = "catalogue"')),
        "published": only(find(project, '[bases]\ncatalogue = "catalogue"\npublished = "built/publish"')),
    }
    expected = found["image"]
    for base in found.values():
        assert (base.version, base.image, base.size) == (V1, "rootfs", v1.stat().st_size)
        assert base.sha256 in (None, expected.sha256)
        assert bool(chunks(base) == chunks(expected))
    files = {name: base.file and base.file.resolve() for name, base in found.items()}
    assert files == {
        "image": v1.resolve(), "zck": zck, "theirs": theirs, "folder": zck, "catalogue": None,
        "published": zck,
    }  # fmt: skip


def test_a_folder_may_hold_several_releases(project: Project, built: Path) -> None:
    record, manifests = catalogue.load(built / "record")
    at = store.open(str(project.folder / "several/record"))
    for version in (V1, "1.1"):
        catalogue.add(at, replace(record, version=version), manifests)
    found = find(project, "", named('folder = "several"') + named('folder = "several"', "1.1"))
    assert [base.version for base in found.found] == [V1, "1.1"]


def test_an_image_that_is_no_delta_has_no_bases(project: Project) -> None:
    assert bases.find(release.read(project.write("raw")), time=0) == {}


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("", named('folder = "nothing"')),
        ('[bases]\ncatalogue = "nothing"', named("")),
    ],
)
def test_a_release_that_nothing_is_known_of_has_no_record(project: Project, head: str, tail: str) -> None:
    (project.folder / "nothing").mkdir()
    assert reason(find(project, head, tail)) is Reason.NO_RECORD


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('name = "rootfs"', 'name = "system"'),
        lambda text: text.replace('board = "demo"', 'board = "other.toml"'),
        lambda text: text.replace(
            '"delta"', '"delta"\ndevice = "/dev/x"\nproperties = { source = "/dev/y" }'
        ),
    ],
)
def test_an_image_of_another_name_board_or_place_is_no_base(
    project: Project, built: Path, change: Callable[[str], str]
) -> None:
    demo = Path(release.__file__).parents[1] / "boards/demo.toml"
    (project.folder / "other.toml").write_text(demo.read_text().replace('"demo"', '"other"'))
    path = project.write("delta", "switch = true")
    text = change(path.read_text()) + named('folder = "built"')
    path.write_text(text)
    assert text.count("rootfs") + text.count("demo") < 2 or "/dev/x" in text
    (found,) = bases.find(release.read(path), time=0).values()
    assert reason(found) is Reason.LAYOUT


def test_a_file_for_another_image_is_no_base(project: Project) -> None:
    assert reason(find(project, "", named('images = { kernel = "v1.img" }'))) is Reason.LAYOUT


def test_a_record_without_its_manifest_is_no_base(project: Project, built: Path) -> None:
    at = store.open(str(project.folder / "catalogue"))
    record, manifests = catalogue.load(built / "record")
    catalogue.add(at, record, manifests)
    at.remove(record.manifest_name("rootfs") or "")
    assert reason(find(project, '[bases]\ncatalogue = "catalogue"')) is Reason.MANIFEST


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("", {"1.2": None, "1.1": None, V1: None}),
        ("keep = 2", {"1.2": None, "1.1": None, V1: Reason.OLD}),
        ("max-age-days = 10", {"1.2": None, "1.1": None, V1: Reason.OLD}),
        ("max-age-days = 1", {"1.2": None, "1.1": Reason.OLD, V1: Reason.OLD}),
    ],
)
def test_rules_say_what_is_too_old(
    project: Project, built: Path, rule: str, expected: dict[str, Reason | None]
) -> None:
    record, manifests = catalogue.load(built / "record")
    at = store.open(str(project.folder / "catalogue"))
    for day, version in enumerate((V1, "1.1", "1.2", "2.0.0")):
        catalogue.add(at, replace(record, version=version, when=(90 + 5 * day) * DAY), manifests)
    found = find(project, f'[bases]\ncatalogue = "catalogue"\n{rule}', time=101 * DAY)
    reasons: dict[str, Reason | None] = {base.version: None for base in found.found}
    reasons |= {refusal.version: refusal.reason for refusal in found.refused}
    assert reasons == expected
    assert [base.version for base in found.found] == [name for name, why in expected.items() if why is None]


def test_a_base_that_is_named_is_never_too_old(project: Project, built: Path) -> None:
    at = store.open(str(project.folder / "catalogue"))
    catalogue.add(at, *catalogue.load(built / "record"))
    head = '[bases]\ncatalogue = "catalogue"\nmax-age-days = 1'
    assert only(find(project, head, named('folder = "built"'), time=99 * DAY)).file
    assert only(find(project, head, named(""), time=99 * DAY)).file is None


@pytest.mark.parametrize(
    ("head", "tail", "code", "word"),
    [
        ("", named('folder = "absent"'), "file-missing", "absent"),
        ("", named('images = { rootfs = "absent" }'), "file-missing", "absent"),
        ("", named(""), "config-key", "where is base"),
        ("", named('folder = "built"\nimages = { rootfs = "v1.img" }'), "config-key", "both"),
        ("", named('folder = "built"', "1.0.1"), "release-content", "another version"),
        ("", named('folder = "built"', "2.0.0"), "release-content", "'2.0.0'"),
        ("", named('folder = "built"') * 2, "release-content", "'1.0.0'"),
        ("", named('folder = "other"'), "base-product", "product pump"),
        ("", named('images = { rootfs = "plain.zck" }'), "header-unsupported", "zck -u"),
        ("[bases]\nkeep = 3", "", "config-key", "catalogue"),
        ('[bases]\ncatalogue = "c"\nkeep = 0', "", "config-value", "1 or more"),
        ('[bases]\ncatalogue = "c"\npublished = "absent"', "", "file-missing", "absent"),
        (
            '[bases]\ncatalogue = "catalogue"',
            named('images = { rootfs = "v2.img" }'),
            "release-exists",
            "v2.img",
        ),
        ('[bases]\ncatalogue = "catalogue"', named('folder = "changed"'), "release-exists", "changed"),
    ],
)
@pytest.mark.tool("zck")
def test_a_wrong_base_is_refused_by_name(
    project: Project, built: Path, tool: FindTool, head: str, tail: str, code: str, word: str
) -> None:
    folder = project.folder
    record, manifests = catalogue.load(built / "record")
    image = record.images["rootfs"]
    changed = replace(record, images={"rootfs": replace(image, sha256="0" * 64)})
    catalogue.add(store.open(str(folder / "catalogue")), record, manifests)
    catalogue.add(store.open(str(folder / "changed/record")), changed, manifests)
    catalogue.add(store.open(str(folder / "other/record")), replace(record, product="pump"), manifests)
    subprocess.run([tool("zck"), "-o", folder / "plain.zck", folder / "v1.img"], check=True)
    with pytest.raises(OtaError) as refusal:
        find(project, head, tail)
    assert refusal.value.code == code and word in str(refusal.value)


def test_a_release_that_the_catalogue_knows_with_other_content_is_refused(
    project: Project, built: Path
) -> None:
    shutil.copytree(built / "record", project.folder / "catalogue")
    path = project.write("delta", '[bases]\ncatalogue = "catalogue"')
    again = ("build", path, "-o", project.out, "--set", "version=1.0.0")
    assert project.otapack(*again).code == "release-exists"
    assert not list(project.out.iterdir())
    assert project.otapack(*again, "--set", "image.rootfs.file=v1.img").status == 0


def test_an_unreadable_base_is_refused_by_name(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.preadv", fail)
    with pytest.raises(ConfigError, match=r"v1[.]img"):
        find(project, "", named('images = { rootfs = "v1.img" }'))
