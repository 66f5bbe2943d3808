"""otapack as people and programs meet it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from ota.formats import cpio
from packager import check, cli, output
from packager.builders import result
from packager.tests.conftest import TYPES, Project


@pytest.mark.parametrize("kind", TYPES)
def test_inspect_tells_what_is_in_a_package_whoever_signed_it(project: Project, kind: str) -> None:
    built = project.build(kind).json
    inspected = project.otapack("inspect", project.package)
    assert inspected.status == 0
    assert inspected.json["signed"] is True and inspected.json["signer"] is None
    for key in ("package", "version", "sha256", "size", "members", "choices", "hardware"):
        assert inspected.json[key] == built[key]
    assert inspected.json["artifacts"][0].items() <= built["artifacts"][0].items()


def test_inspect_prints_for_people(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.build("delta", 'description = "the second"')
    capsys.readouterr()
    assert cli.main(["inspect", str(project.package)]) == 0
    text = capsys.readouterr().out
    for word in ("gateway-2.0.0.swu  version 2.0.0", "the second", "1.0", "not checked", "rootfs.zck-header",
                 "type delta", f"{len(project.v2):,}", "unique chunks", "stable,copy-a", "/dev/mmcblk0p3",
                 "boot_slot=b"):  # fmt: skip
        assert word in text


def test_an_unsigned_package_can_be_inspected(project: Project) -> None:
    with (project.folder / "package").open("wb") as file:
        text = b'software = { version = "1"; bootenv: ( { name = "a"; value = "b"; } ); };'
        cpio.write(file, [("sw-description", text)])
    assert project.otapack("inspect", project.folder / "package").json["signed"] is False


def test_a_refusal_is_one_line_and_one_json_object(project: Project) -> None:
    answer = project.otapack("inspect", project.folder / "absent.swu")
    assert answer.status == 6
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "what", "expected", "found", "hint"}
    assert answer.log.count("\n") == 1 and answer.log.startswith("ERROR: file-missing: ")


def test_quiet_leaves_warnings_and_errors(project: Project) -> None:
    release = project.write("raw")
    assert "INFO" in project.otapack("build", release, "-o", project.out).log
    assert project.otapack("build", release, "-o", project.out, "--quiet").log == ""


def test_results_go_to_stdout_and_nothing_else_does(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["build", str(project.write("delta")), "-o", str(project.out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["artifacts"][0]["zck"] == "rootfs-2.0.0.zck"


def test_every_verb_runs_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in cli.COMMANDS:
        with pytest.raises(SystemExit) as end:
            cli.main([verb, "--help"])
        assert end.value.code == 0
        assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["release.toml", "release.toml/out", "/proc/out"])
def test_a_folder_that_cannot_be_written_is_refused(project: Project, target: str) -> None:
    answer = project.otapack("build", project.write("raw"), "-o", project.folder / target)
    assert (answer.status, answer.code) == (6, "output-unwritable")


@pytest.mark.parametrize("kind", TYPES)
def test_a_build_that_fails_leaves_the_output_as_it_was(
    project: Project, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert project.build(kind).status == 0
    before = {path: path.read_bytes() for path in project.out.rglob("*") if path.is_file()}
    failures = {
        "disk": (check, "verify", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        "late": (output, "commit", OSError(errno.EIO, os.strerror(errno.EIO))),
    }
    for owner, name, error in failures.values():

        def fail(*_: object, raised: OSError = error) -> None:
            raise raised

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            answer = project.build(kind, 'description = "another"')
        assert (answer.status, answer.code) == (6, "output-unwritable")
        assert {path: path.read_bytes() for path in project.out.rglob("*") if path.is_file()} == before
        assert not list(project.out.glob(".*"))


def test_a_package_that_fails_its_own_check_is_not_left_behind(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "properties", lambda image: {"image-sha256": "0" * 64, "image-size": "1"})
    for kind in TYPES:
        answer = project.build(kind)
        assert (answer.status, answer.code) == (3, "result-mismatch")
        assert not list(project.out.iterdir())


def test_the_release_file_may_be_named_from_anywhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = project.write("rdiff_image")
    (tmp_path / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/er")
    relative = Path("../..") / release.name
    assert project.otapack("build", relative, "-o", "out").status == 0
    assert (tmp_path / "deep/er/out/gateway-2.0.0.swu").exists()
