"""The shell script of docs/ci, run as CI runs it: real images, a folder and an object store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ota.tests.stores import BUCKET, KEY_ID, SECRET, Weed
from packager import catalogue, store
from packager.tests.conftest import FindTool
from packager.tests.test_ci import CI, steps

pytestmark = [pytest.mark.build, pytest.mark.tool("mke2fs")]

ROOT = Path(__file__).parents[2]
SIZE = "24M"
RELEASE = """
version = "1.0.0"
name = "gateway"
board = "demo"
[sign]
certificate = "signer.pem"
key = "signer.key"
[[image]]
name = "rootfs"
file = "v1.ext4"
type = "delta"
url = "https://updates.example.com/gateway/"
"""


@dataclass
class Firmware:
    """A firmware's repository, with its images built."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def release(self, number: int, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run release.sh for that release; its results are in out-NUMBER."""
        changes = [f"version={number}.0.0", f"image.rootfs.file=v{number}.ext4"]
        return self.run(
            ["sh", CI / "release.sh", "release.toml", *(w for c in changes for w in ("--set", c))],
            **{"OUT": f"out-{number}", **self.environment, **environment},
        )

    def run(self, command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, tool: FindTool) -> Path:
    """v1.ext4 and v2.ext4: this project's own sources, and then some of them changed."""
    folder = tmp_path_factory.mktemp("images")
    shutil.copytree(ROOT / "ota", folder / "tree", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for number in (1, 2):
        if number == 2:
            for path in sorted((folder / "tree").glob("*.py"))[:5]:
                path.write_text("# changed\n" + path.read_text())
        command: list[str | Path] = [
            tool("mke2fs"), "-q", "-t", "ext4", "-d", "tree", "-U", "11111111-2222-3333-4444-555555555555",
            "-E", "hash_seed=11111111-2222-3333-4444-555555555555", f"v{number}.ext4", SIZE,
        ]  # fmt: skip
        environment = {**os.environ, "E2FSPROGS_FAKE_TIME": "1700000000"}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture
def firmware(tmp_path: Path, images: Path) -> Firmware:
    """In git; the key is the one that the workflow makes for pull requests."""
    made = Firmware(tmp_path)
    for number in (1, 2):
        (tmp_path / f"v{number}.ext4").symlink_to(images / f"v{number}.ext4")
    (tmp_path / "release.toml").write_text(RELEASE)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/otapack"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m packager.cli "$@"\n')
    program.chmod(0o755)
    (keys,) = (step["run"] for step in steps() if step.get("name") == "Keys")
    git = "git -c user.name=x -c user.email=x@example.com"
    for line in (keys, f"git init -q . && git add release.toml && {git} commit -q -m first"):
        done = made.run(["sh", "-ec", line], HAS_SECRETS="false")
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    with Weed(tmp_path_factory.mktemp("weed") / "weed") as running:
        yield running


@pytest.fixture(params=["folder", "bucket"])
def published(
    request: pytest.FixtureRequest, firmware: Firmware, monkeypatch: pytest.MonkeyPatch
) -> Firmware:
    """With TARGET and CATALOGUE."""
    if request.param == "folder":
        firmware.environment |= {"TARGET": "www", "CATALOGUE": "records"}
        monkeypatch.chdir(firmware.folder)
        return firmware
    weed: Weed = request.getfixturevalue("weed")
    for name, value in {
        "AWS_ENDPOINT_URL": f"https://localhost:{weed.port}",
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CA_BUNDLE": str(weed.ca),
    }.items():
        monkeypatch.setenv(name, value)
    firmware.environment |= {"TARGET": f"s3://{BUCKET}/www", "CATALOGUE": f"s3://{BUCKET}/records"}
    return firmware


def test_it_builds_estimates_gates_and_publishes(published: Firmware) -> None:
    target, records = (store.open(published.environment[name]) for name in ("TARGET", "CATALOGUE"))
    first = published.release(1, CACHE="cache", MAX_BYTES="20M")
    assert first.returncode == 0, first.stderr
    assert target.names() == ["gateway-1.0.0.swu", "rootfs-1.0.0.zck"]

    refused = published.release(2, CACHE="cache", MAX_BYTES="20K")
    assert refused.returncode == 6
    assert "ERROR: budget-exceeded: " in refused.stderr and "1.0.0" in refused.stderr
    assert target.names() == ["gateway-1.0.0.swu", "rootfs-1.0.0.zck"]
    assert [record.version for record in catalogue.read(records, "gateway")] == ["1.0.0"]
    table = (published.folder / "out-2/estimate.txt").read_text()
    assert "1.0.0" in table and table in refused.stdout
    assert (published.folder / "out-2/report.json").exists()

    second = published.release(2, OUT="out-again", CACHE="cache", MAX_BYTES="5M")
    assert second.returncode == 0, second.stderr
    assert target.names() == [
        "gateway-1.0.0.swu", "gateway-2.0.0.swu", "rootfs-1.0.0.zck", "rootfs-2.0.0.zck",
    ]  # fmt: skip
    known = catalogue.read(records, "gateway")
    assert [record.version for record in known] == ["1.0.0", "2.0.0"]
    assert {len(record.commit or "") for record in known} == {40}
    rows = json.loads((published.folder / "out-again/report.json").read_text())["estimate"]["rows"]
    download = {row["base"]: row["download_bytes"] for row in rows if row["method"] == "zchunk"}
    assert download["1.0.0"] < download[None] / 2

    again = published.release(2, OUT="out-on-another-runner", CACHE="another-cache")
    assert again.returncode == 0, again.stderr
    assert "sent 0 bytes" in again.stdout  # the same commit gives the same bytes


def test_a_pull_request_prices_against_the_cache_and_publishes_nothing(firmware: Firmware) -> None:
    assert firmware.release(1, TARGET="www", CATALOGUE="records", CACHE="cache").returncode == 0
    (firmware.folder / "cache").mkdir(exist_ok=True)
    shutil.copytree(firmware.folder / "records", firmware.folder / "cache", dirs_exist_ok=True)
    shutil.rmtree(firmware.folder / "records")
    priced = firmware.release(2, CACHE="cache", MAX_BYTES="5M")
    assert priced.returncode == 0, priced.stderr
    assert "1.0.0" in (firmware.folder / "out-2/estimate.txt").read_text()
    assert sorted(os.listdir(firmware.folder / "www")) == ["gateway-1.0.0.swu", "rootfs-1.0.0.zck"]
    assert not (firmware.folder / "records").exists()


def test_it_stops_where_the_build_does(firmware: Firmware) -> None:
    (firmware.folder / "v1.ext4").unlink()
    refused = firmware.release(1, TARGET="www")
    assert refused.returncode == 6 and "ERROR: file-missing: " in refused.stderr
    assert not (firmware.folder / "out-1/report.json").exists()
    assert not (firmware.folder / "www").exists()


def test_results_of_another_run_are_not_mixed_in(firmware: Firmware) -> None:
    (firmware.folder / "out-1").mkdir()
    assert firmware.release(1).returncode == 1
    assert os.listdir(firmware.folder / "out-1") == []
