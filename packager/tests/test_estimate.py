"""otapack estimate: the table of a build without one, the gate, and that devices fetch just that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ota.sync import footprint
from ota.tests.world import World
from packager import cli
from packager.tests.conftest import Answer, Project

Rows = dict[tuple[str | None, str], dict[str, Any]]

BASE = '[[base]]\nversion = "1.0.0"\nfolder = "{}"\n'
METHODS = (
    'type = "delta"\nurl = "https://updates.example.com/"\nmethods = ["zchunk", "rdiff", "full"]\n'
    "rdiff-level = 3\nfull-level = 3"
)


def rows(answer: Answer) -> Rows:
    return {(row["base"], row["method"]): row for row in answer.json["rows"]}


@pytest.fixture
def built(project: Project, earlier: Path) -> Project:
    """A project whose release was built, from what was built of 1.0.0."""
    project.write(METHODS, BASE.format(earlier))
    assert project.otapack("build", project.folder / "release.toml", "-o", project.out).status == 0
    return project


def estimate(project: Project, *more: str | Path) -> Answer:
    return project.otapack("estimate", project.folder / "release.toml", *more)


@pytest.mark.build
def test_it_says_what_the_build_then_says_and_leaves_nothing(project: Project, earlier: Path) -> None:
    project.write(METHODS, BASE.format(earlier))
    before = sorted(project.folder.rglob("*"))
    foreseen = estimate(project)
    assert sorted(project.folder.rglob("*")) == before
    done = project.otapack("build", project.folder / "release.toml", "-o", project.out)
    assert foreseen.json == done.json["estimate"]
    assert set(rows(foreseen)) == {
        (base, method) for base in (None, "1.0.0") for method in ("zchunk", "rdiff", "full")
    } - {(None, "rdiff")}


def test_after_a_build_manifests_alone_give_the_same_rows(built: Project) -> None:
    said = {(row["base"], row["method"]): row for row in report(built)["rows"]}
    found = rows(estimate(built, "--built", built.out))
    published = {key for key, row in said.items() if row["chosen"] or key[1] == "zchunk"}
    assert {key: found[key] for key in published} == {key: said[key] for key in published}


def report(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.out / "report.json").read_text())["estimate"]
    return found


@pytest.mark.build
def test_a_base_that_came_later_is_priced_without_a_build(built: Project, earlier: Path) -> None:
    built.write(
        METHODS, BASE.format(earlier) + '[[base]]\nversion = "1.5.0"\nimages = { rootfs = "v2.img" }\n'
    )
    assert rows(estimate(built, "--built", built.out))["1.5.0", "zchunk"]["fetched_bytes"] == 0


@pytest.mark.build
def test_a_link_gives_the_time(built: Project) -> None:
    (row, *_) = estimate(built, "--built", built.out, "--link", "1Mbit,0ms").json["rows"]
    assert row["seconds"] == round(row["download_bytes"] * 8 / 1e6, 3)
    assert estimate(built, "--built", built.out).json["rows"][0]["seconds"] is None
    assert estimate(built, "--built", built.out, "--link", "fast").code == "config-value"


def test_people_get_a_table(built: Project, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["estimate", str(built.folder / "release.toml"), "--built", str(built.out), "--link", "1Mbit,1ms"]
    capsys.readouterr()
    assert cli.main(words) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["image", "base", "method", "download", "share", "memory", "cpu", "server", "time"]
    assert [line.split()[1] for line in lines if line.endswith("chosen")] == ["none", "1.0.0"]
    assert len(lines) == 5  # an rdiff delta from nothing there is not


def test_too_many_bytes_fail_after_the_table_and_say_which_base_and_by_how_much(built: Project) -> None:
    chosen = next(row for row in report(built)["rows"] if row["chosen"] and row["base"])
    limit = chosen["download_bytes"] - 1
    refused = estimate(built, "--built", built.out, "--max-bytes", str(limit))
    assert (refused.status, refused.code) == (6, "budget-exceeded")
    assert refused.json["rows"]
    found = refused.json["error"]["found"]
    assert f"{chosen['download_bytes']} bytes from 1.0.0, 1 too many: rootfs " in found
    assert f"{chosen['fetched_bytes']} by {chosen['method']}" in found
    assert estimate(built, "--built", built.out, "--max-bytes", str(limit + 1)).status == 0


def test_a_folder_of_another_release_is_refused(built: Project) -> None:
    assert estimate(built, "--built", built.out, "--set", "version=2.0.1").code == "release-content"
    assert estimate(built, "--built", built.folder / "nowhere").code == "file-missing"
    (built.out / "report.json").write_text("{}")
    assert estimate(built, "--built", built.out).code == "release-content"


def test_the_signature_counts_so_somebody_has_to_sign(project: Project) -> None:
    project.write("delta", sign="")
    assert estimate(project).code == "release-content"


def test_a_device_fetches_what_was_foreseen_to_the_byte(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """From one package: rdiff with its usual memory, zchunk where that is too little."""

    def otapack(*words: str | Path) -> dict[str, Any]:
        capsys.readouterr()
        assert cli.main([*map(str, words), "-q", "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    for version, image, bases in (("1.0.0", "v1", ""), ("2.0.0", "v2", BASE.format("out-1.0.0"))):
        release, out = world.folder / f"{version}.toml", world.folder / f"out-{version}"
        lines = METHODS.replace("https://updates.example.com/", world.server.url)
        release.write_text(
            f'version = "{version}"\nname = "gateway"\nboard = "demo"\n{bases}'
            f'[sign]\ncertificate = "{world.certificate}"\nkey = "{world.key}"\n'
            f'[[image]]\nname = "rootfs"\nfile = "{image}.ext4"\n{lines}\n'
        )
        otapack("build", release, "-o", out)
        shutil.copytree(out / "publish", world.publish, dirs_exist_ok=True)
    table = otapack("estimate", release, "--built", out)["rows"]
    foreseen = {row["method"]: row for row in table if row["base"] == "1.0.0"}
    assert foreseen["rdiff"]["chosen"]
    little = footprint.AGENT + footprint.streamed(0)
    for method, memory in (("rdiff", foreseen["rdiff"]["memory_bytes"]), ("zchunk", little)):
        world.reset()
        world.write_config(limits=f'limits.memory = "{memory}"')
        assert world.ota("adopt", "a", world.publish / "rootfs-1.0.0.zck").status == 0
        start = len(world.server.requests())
        done = world.ota("install", out / "gateway-2.0.0.swu")
        assert done.status == 0, done.errors
        assert bool(world.holds(world.slot_b, world.v2))
        served = world.server.requests()[start:]
        assert list(done.answer["methods"].values()) == [method]  # type: ignore[attr-defined]  # JSON
        assert sum(request.range_bytes for request in served) == foreseen[method]["fetched_bytes"]
        for key in ("fetched_bytes", "requests"):
            assert done.answer[key] == foreseen[method][key]
