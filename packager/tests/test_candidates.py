"""What a build makes of every method for every base, and what of it is published."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from ota.formats import alternatives
from ota.formats.alternatives import Method
from packager import check
from packager.tests.conftest import Answer, FindTool, Project

DELTA = 'type = "delta"\nurl = "https://updates.example.com/gateway/"\nrdiff-level = 3\nfull-level = 3\n'
ALL = DELTA + 'methods = ["zchunk", "rdiff", "full"]\n'
RDIFF = DELTA + 'methods = ["zchunk", "rdiff"]\n'
V1 = '[[base]]\nversion = "1.0.0"\nimages = { rootfs = "v1.img" }\n'
ZCK, FULL, FROM_V1 = "rootfs-2.0.0.zck", "rootfs-2.0.0.zst", "rootfs-2.0.0-from-1.0.0.rdiff.zst"


def published(project: Project) -> set[str]:
    return {path.name for path in (project.out / "publish").iterdir()}


def rows(answer: Answer) -> list[dict[str, object]]:
    assert answer.status == 0, answer.log
    found: list[dict[str, object]] = answer.json["estimate"]["rows"]
    return found


def chosen(answer: Answer) -> dict[object, object]:
    return {row["base"]: row["method"] for row in rows(answer) if row["chosen"]}


@pytest.mark.tool("rdiff")
def test_the_published_files_give_the_image_by_other_programs_too(
    project: Project, tool: FindTool, tmp_path: Path
) -> None:
    answer = project.build(ALL + V1)
    assert chosen(answer) == {None: "full", "1.0.0": "rdiff"}
    assert published(project) == {ZCK, FULL, FROM_V1}
    expand = zstandard.ZstdDecompressor().decompress
    assert bool(expand((project.out / "publish" / FULL).read_bytes()) == project.v2)
    delta, result = tmp_path / "delta", tmp_path / "result"
    delta.write_bytes(expand((project.out / "publish" / FROM_V1).read_bytes()))
    subprocess.run([tool("rdiff"), "patch", project.folder / "v1.img", delta, result], check=True)
    assert bool(result.read_bytes() == project.v2)


def test_the_package_names_what_is_published_and_rows_state_its_bytes(project: Project) -> None:
    answer = project.build(ALL + V1)
    entry = check.inspect(project.package).description.entries[0]
    files = {file.method: file for file in alternatives.parse(entry)}
    for method, name in ((Method.RDIFF, FROM_V1), (Method.FULL, FULL)):
        size = (project.out / "publish" / name).stat().st_size
        assert (files[method].file, files[method].size) == (name, size)
        (row,) = [row for row in rows(answer) if row["chosen"] and row["method"] == method]
        assert (row["fetched_bytes"], row["storage_bytes"]) == (size, size)
        assert row["download_bytes"] == project.package.stat().st_size + size


def test_only_zchunk_is_made_unless_more_is_allowed(project: Project) -> None:
    answer = project.build(DELTA + V1)
    assert chosen(answer) == {None: "zchunk", "1.0.0": "zchunk"}
    assert published(project) == {ZCK}
    assert alternatives.parse(check.inspect(project.package).description.entries[0]) == ()


@pytest.mark.build
def test_a_base_that_is_only_a_zck_gives_the_same_delta(project: Project, earlier: Path) -> None:
    assert project.build(RDIFF + V1).status == 0
    delta = (project.out / "publish" / FROM_V1).read_bytes()
    shutil.rmtree(project.out)
    folder = f'[[base]]\nversion = "1.0.0"\nfolder = "{earlier}"\n'
    assert chosen(project.build(RDIFF + folder)) == {None: "zchunk", "1.0.0": "rdiff"}
    assert bool((project.out / "publish" / FROM_V1).read_bytes() == delta)


def test_a_base_that_the_catalogue_alone_knows_is_served_by_zchunk(project: Project, earlier: Path) -> None:
    answer = project.build(RDIFF, f'[bases]\ncatalogue = "{earlier / "record"}"')
    assert chosen(answer) == {None: "zchunk", "1.0.0": "zchunk"}
    assert "not at hand" in answer.log


def test_bases_of_the_same_content_share_a_delta(project: Project, earlier: Path) -> None:
    again = f'[[base]]\nversion = "1.0.1"\nimages = {{ rootfs = "{earlier / "publish/rootfs-1.0.0.zck"}" }}\n'
    assert chosen(project.build(RDIFF + V1 + again)) == {None: "zchunk", "1.0.0": "rdiff", "1.0.1": "rdiff"}
    assert published(project) == {ZCK, FROM_V1}
    entry = check.inspect(project.package).description.entries[0]
    assert len(alternatives.parse(entry)) == 1


@pytest.mark.build
def test_a_base_with_this_very_image_fetches_nothing(project: Project) -> None:
    same = V1.replace("v1.img", "v2.img")
    answer = project.build(RDIFF + same)
    assert [row["fetched_bytes"] for row in rows(answer) if row["base"]] == [0]
    assert published(project) == {ZCK}


def test_a_delta_that_is_not_chosen_is_not_published(project: Project) -> None:
    answer = project.build(ALL + V1, "[device]\nspare-space = false")
    assert chosen(answer) == {None: "full", "1.0.0": "zchunk"}
    assert [row["refused"] for row in rows(answer) if row["method"] == "rdiff"] == ["no spare space"]
    assert published(project) == {ZCK, FULL}
    assert list(project.out.rglob("*rdiff*")) == []


@pytest.mark.build
def test_a_full_image_that_gains_nothing_is_not_published(project: Project) -> None:
    (project.folder / "noise.img").write_bytes(os.urandom(300_000))
    path = project.write(ALL)
    path.write_text(
        path.read_text().replace("v2.img", "noise.img").replace("full-level = 3", "full-level = 1")
    )
    answer = project.otapack("build", path, "-o", project.out)
    full, zck = (next(row for row in rows(answer) if row["method"] == name) for name in ("full", "zchunk"))
    assert chosen(answer) == {None: "full" if full["storage_bytes"] < zck["fetched_bytes"] else "zchunk"}  # type: ignore[operator]
    assert (FULL in published(project)) == bool(full["chosen"])


@pytest.mark.parametrize("name", [FULL, FROM_V1])
def test_a_published_file_that_was_damaged_is_found_by_verify(project: Project, name: str) -> None:
    project.build(ALL + V1)
    assert project.verify().json["artifacts"][0]["rdiff_deltas_applied"] == 1
    path = project.out / "publish" / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert project.verify().code == "digest-mismatch"
    path.unlink()
    assert project.verify().code == "file-missing"


@pytest.mark.build
def test_verify_applies_the_deltas_whose_base_is_at_hand(project: Project) -> None:
    project.build(RDIFF + V1)
    trust = ("--certificate", project.signer.certificate, "--publish", project.out / "publish")
    (figures,) = project.otapack("verify", project.package, *trust).json["artifacts"]
    assert (figures["rdiff_deltas"], figures["rdiff_deltas_applied"]) == (1, 0)


def test_a_delta_that_gives_another_image_is_not_left_behind(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = __import__("packager.rdiff").rdiff.write

    def wrong(base: Path, image: Path, output: Path, *more: object) -> object:
        ends = write(base, image, output, *more)
        write(base, base, output, *more)
        return ends

    monkeypatch.setattr("packager.rdiff.write", wrong)
    assert project.build(RDIFF + V1).code == "result-mismatch"
    assert not list(project.out.iterdir())


def test_a_budget_that_is_exceeded_is_told_with_the_table_and_leaves_nothing(project: Project) -> None:
    path = project.write(DELTA + V1, '[budget]\nmax-bytes = "10K"')
    answer = project.otapack("build", path, "-o", project.out, "--quiet")
    assert (answer.status, answer.code) == (6, "budget-exceeded")
    assert "1.0.0" in answer.json["error"]["found"]
    assert "zchunk" in answer.log and "download" in answer.log
    assert not list(project.out.iterdir())
    more = ("--set", 'budget.max-bytes="10M"')
    assert project.otapack("build", path, "-o", project.out, *more).status == 0


@pytest.mark.build
def test_without_deltas_the_package_has_the_whole_image_and_the_next_one_has_a_base(project: Project) -> None:
    path = project.write(ALL + V1)
    answer = project.otapack("build", path, "-o", project.out, "--full")
    assert answer.json["artifacts"][0]["type"] == "raw"
    assert answer.json["estimate"]["rows"] == [] and not (project.out / "publish").exists()
    path.write_text(path.read_text().replace("v1.img", "v2.img"))
    following = f'[[base]]\nversion = "2.0.0"\nfolder = "{project.out}"\n'
    path.write_text(
        path.read_text().replace(V1.replace("v1.img", "v2.img"), following).replace("v2.img", "v1.img")
    )
    answer = project.otapack("build", path, "-o", project.folder / "next", "--set", "version=3")
    assert [row["base"] for row in rows(answer) if row["method"] == "zchunk"] == [None, "2.0.0"]
    assert not any(row["refused"] for row in rows(answer))


def test_the_report_names_every_output_and_what_made_it(project: Project) -> None:
    project.build(ALL + V1, 'source-commit = "4f0c2a9"')
    report = json.loads((project.out / "report.json").read_text())
    files = {str(path.relative_to(project.out)) for path in project.out.rglob("*") if path.is_file()}
    assert set(report["build"]["outputs"]) == files - {"report.json", "report.html"}
    assert "zstd" in report["build"]["tools"]
    record = json.loads((project.out / "record/gateway/2.0.0.json").read_text())
    assert record["commit"] == "4f0c2a9" and record["tools"] == report["build"]["tools"]
    assert {file["file"] for file in record["images"]["rootfs"]["published"]} == published(project)


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """A folder with room for the .zck, but not for a decoded base beside it."""
    folder = project.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_nothing_is_left(project: Project, earlier: Path, small_disk: Path) -> None:
    release = project.write(RDIFF + f'[[base]]\nversion = "1.0.0"\nfolder = "{earlier}"\n')
    answer = project.otapack("build", release, "-o", small_disk)
    assert (answer.status, answer.code) == (6, "output-unwritable")
    assert "No space" in answer.json["error"]["found"]
    assert not list(small_disk.iterdir())
    assert project.otapack("build", release, "-o", small_disk, "--set", "base=[]").status == 0


@pytest.mark.build
@pytest.mark.tool("mke2fs")
def test_a_base_whose_file_system_is_damaged_is_a_base_all_the_same(project: Project, tool: FindTool) -> None:
    image, base = project.folder / "new.ext4", project.folder / "old.ext4"
    tree = project.folder / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/motd").write_text("hello\n" * 1000)
    subprocess.run([tool("mke2fs"), "-q", "-t", "ext4", "-d", tree, image, "8M"], check=True)
    damaged = bytearray(image.read_bytes())
    damaged[4 << 10 : 512 << 10] = b"\xff" * (508 << 10)
    base.write_bytes(damaged)
    path = project.write(RDIFF + V1.replace("v1.img", "old.ext4"))
    answer = project.otapack("build", path, "-o", project.out, "--set", "image.rootfs.file=new.ext4")
    assert chosen(answer)["1.0.0"] in ("zchunk", "rdiff")
    assert "does not say which files" in answer.log
