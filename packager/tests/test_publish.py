"""otapack publish: into a folder, and into a bucket of a server inside this process."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from packager import catalogue, cli, store
from packager.store import multipart, s3
from packager.store.folder import Folder
from packager.store.sums import Held
from packager.tests import outputs
from packager.tests.conftest import Project
from packager.tests.outputs import DELTA, HEADER, PACKAGE, ZCK


@pytest.fixture(params=["folder", "bucket"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store where nothing is yet."""
    if request.param == "folder":
        return str(tmp_path / "www")
    request.getfixturevalue("client")
    return "s3://releases/gateway/stable"


def names(target: str) -> list[str]:
    return store.open(target).names()


def test_files_come_first_then_the_package_then_the_record(
    project: Project, target: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = outputs.write(project.folder / "out")
    sent: list[str] = []
    place = store.open(target)
    for kind in (Folder, s3.Bucket):
        for method in ("send", "write"):
            monkeypatch.setattr(kind, method, noting(sent, getattr(kind, method)))
    records = str(project.folder / "records")
    answer = project.otapack("publish", out, target, "--catalogue", records)
    assert answer.status == 0, answer.log
    record = ["gateway/2.0.0/rootfs.zck-header", "gateway/2.0.0.json"]
    assert sent == [DELTA, ZCK, PACKAGE, *record]
    assert names(target) == sorted([PACKAGE, ZCK, DELTA])
    assert bool(place.read(ZCK) == (out / "publish" / ZCK).read_bytes())
    assert bool(place.read(PACKAGE) == (out / PACKAGE).read_bytes())
    assert answer.json["sent_bytes"] == 6000 and answer.json["parts"] == 3
    assert catalogue.read(store.open(records), "gateway") == (outputs.release(),)
    assert answer.json["recorded"] is True


def noting(sent: list[str], method: Callable[..., object]) -> Callable[..., object]:
    def noted(self: object, name: str, *rest: object, **more: object) -> object:
        sent.append(name)
        return method(self, name, *rest, **more)

    return noted


def test_what_is_there_already_is_passed_over(project: Project, target: str) -> None:
    out = outputs.write(project.folder / "out")
    project.otapack("publish", out, target, "--catalogue", project.folder / "records")
    again = project.otapack("publish", out, target, "--catalogue", project.folder / "records")
    assert again.status == 0
    assert (again.json["sent_bytes"], again.json["parts"], again.json["skipped_bytes"]) == (0, 0, 6000)
    assert again.json["recorded"] is False


def test_a_release_of_the_same_version_with_other_content_is_refused_before_anything_is_sent(
    project: Project, target: str
) -> None:
    first = outputs.write(project.folder / "first")
    assert project.otapack("publish", first, target).status == 0
    store.open(target).remove(DELTA)  # it sorts first, so it would be sent first
    other = outputs.write(project.folder / "other", seed=2)
    refused = project.otapack("publish", other, target)
    assert (refused.status, refused.code) == (6, "published-differs")
    assert PACKAGE in refused.log and ZCK in refused.log
    assert names(target) == sorted([PACKAGE, ZCK])
    assert project.otapack("publish", other, target, "--overwrite").json["sent_bytes"] == 6000
    assert bool(store.open(target).read(ZCK) == (other / "publish" / ZCK).read_bytes())


def test_a_release_that_the_catalogue_knows_with_other_content_is_refused_before_anything_is_sent(
    project: Project, target: str
) -> None:
    records = project.folder / "records"
    catalogue.add(store.open(str(records)), outputs.release(content="d"), {"rootfs": HEADER})
    out = outputs.write(project.folder / "out")
    assert project.otapack("publish", out, target, "--catalogue", records).code == "release-exists"
    assert names(target) == []


@pytest.mark.parametrize(
    "damage", ["report.json", PACKAGE, "publish/" + ZCK, "another", "no JSON", "no build"]
)
def test_what_is_not_the_whole_output_of_a_build_is_refused(
    project: Project, target: str, damage: str
) -> None:
    out = outputs.write(project.folder / "out")
    report = out / "report.json"
    match damage:
        case "another":
            (out / "publish" / ZCK).write_bytes(b"another")
        case "no JSON":
            report.write_text("{")
        case "no build":
            report.write_text(json.dumps({"package": PACKAGE}))
        case _:
            (out / damage).unlink()
    assert project.otapack("publish", out, target).code == "build-incomplete"
    assert names(target) == []


def test_a_build_without_a_record_does_not_go_into_a_catalogue(project: Project, target: str) -> None:
    out = outputs.write(project.folder / "out")
    (out / "record/gateway/2.0.0.json").unlink()
    refused = project.otapack("publish", out, target, "--catalogue", project.folder / "records")
    assert refused.code == "build-incomplete"
    assert names(target) == []


def test_reading_back_proves_whatever_sums_a_store_keeps(project: Project, target: str) -> None:
    out = outputs.write(project.folder / "out")
    read = project.otapack("publish", out, target, "--verify", "read")
    assert {file["proved_by"] for file in read.json["files"]} == {Held.READ}


def test_a_store_that_keeps_other_bytes_than_were_sent_is_found_out(
    project: Project, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = multipart.send
    damaged = project.folder / "damaged"
    damaged.write_bytes(bytes(3000))
    monkeypatch.setattr(
        multipart, "send", lambda client, where, file, *rest: put(client, where, damaged, *rest)
    )
    out = outputs.write(project.folder / "out")
    refused = project.otapack("publish", out, "s3://releases")
    assert (refused.status, refused.code) == (5, "store-content")


def test_a_folder_that_cannot_be_written_is_refused(project: Project) -> None:
    out = outputs.write(project.folder / "out")
    (project.folder / "www").write_text("in the way")
    assert project.otapack("publish", out, project.folder / "www").code == "output-unwritable"


def test_nothing_half_written_stays_in_a_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    out, www = outputs.write(project.folder / "out"), project.folder / "www"

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert project.otapack("publish", out, www).code == "output-unwritable"
    assert list(www.iterdir()) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_with_its_rate_unless_quiet_is_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, www = outputs.write(project.folder / "out"), str(project.folder / "www")
    monkeypatch.setenv("TERM", "xterm")
    shown = []
    for more in ([], ["--quiet", "--overwrite"]):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        assert cli.main(["publish", str(out), www, *more]) == 0
        shown.append(terminal.getvalue())
    assert "6.0/6.0 kB" in shown[0] and "INFO" not in shown[0]
    assert shown[1] == ""


# What goes wrong


@pytest.mark.parametrize("target", ["s3://", "s3://Releases", "s3:/releases", "s3://releases?x=1"])
def test_a_name_that_no_bucket_has_is_refused(project: Project, target: str) -> None:
    out = outputs.write(project.folder / "out")
    if target.startswith("s3://"):
        assert project.otapack("publish", out, target).code == "config-value"
    else:
        assert project.otapack("publish", out, project.folder / target).status == 0


def test_a_bucket_that_is_not_there_refuses(project: Project, client: Any) -> None:
    refused = project.otapack("publish", outputs.write(project.folder / "out"), "s3://nobodys")
    assert (refused.status, refused.code) == (5, "store-refused")
    assert "NoSuchBucket" in refused.log or "404" in refused.log


def test_without_credentials_nothing_is_asked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(project.folder))
    refused = project.otapack("publish", outputs.write(project.folder / "out"), "s3://releases")
    assert refused.code == "config-value" and "credentials" in refused.log.lower()


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:1", "connect"), ("nonsense", "config-value")])
def test_an_endpoint_that_cannot_be_reached_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, url: str, code: str
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", "x"),
        ("AWS_MAX_ATTEMPTS", "1"), ("AWS_ENDPOINT_URL", url),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert project.otapack("publish", outputs.write(project.folder / "out"), "s3://releases").code == code


def test_without_boto3_a_bucket_is_refused_and_a_folder_is_not(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "packager.store.s3")
    monkeypatch.delattr(store, "s3")
    out = outputs.write(project.folder / "out")
    refused = project.otapack("publish", out, "s3://releases")
    assert refused.code == "tool-missing" and "otakit[s3]" in refused.log
    assert project.otapack("publish", out, project.folder / "www").status == 0
