"""Many releases at once: whoever builds them, the files are the same, and what fails fails alone."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

import packager
from ota.errors import ConfigError, OtaError, TrustError
from packager import matrix, tools, workers
from packager.keys import Signer
from packager.matrix import Settings
from packager.tests.conftest import Project

EPOCH = "1700000000"
HOOK = f"""[hooks]\nafter = [["sh", "-c", 'test "$SOURCE_DATE_EPOCH" = {EPOCH}']]"""


class Here(Executor):
    """No workers: what is submitted is done at once."""

    def submit(self, work: Callable[..., Any], /, *words: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*words, **more))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No processes; the jobs that were asked for."""
    asked: list[int] = []

    def processes(count: int) -> Here:
        asked.append(count)
        return Here()

    monkeypatch.setattr(workers, "processes", processes)
    return asked


@pytest.fixture
def releases(project: Project) -> list[Path]:
    """gateway 1.0.0 and 2.0.0, and sensor 2.0.0, each in a file of its own."""
    return [
        written(project, "gateway", "1.0.0", "v1.img", "delta"),
        written(project, "gateway", "2.0.0", "v2.img", "rdiff_image"),
        written(project, "sensor", "2.0.0", "v2.img", "raw"),
    ]


def written(project: Project, name: str, version: str, image: str, kind: str, head: str = "") -> Path:
    text = project.write(kind, head).read_text()
    path = project.folder / f"{name}-{version}.toml"
    text = text.replace('version = "2.0.0"', f'version = "{version}"').replace("gateway", name, 1)
    path.write_text(text.replace('file = "v2.img"', f'file = "{image}"'))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_release_gets_a_folder_of_its_own(
    project: Project, releases: list[Path], here: list[int]
) -> None:
    answer = project.otapack("matrix", *releases, "-o", project.out, "--jobs", "3")
    assert answer.status == 0, answer.log
    assert here == [3]
    built = [row["folder"] for row in answer.json["releases"]]
    assert built == [str(project.out / name) for name in ("gateway-1.0.0", "gateway-2.0.0", "sensor-2.0.0")]
    assert sorted(os.listdir(project.out)) == sorted(Path(folder).name for folder in built)
    for row in answer.json["releases"]:
        package = Path(row["folder"], f"{row['product']}-{row['version']}.swu")
        assert project.otapack("verify", package, "--certificate", project.signer.certificate).status == 0


def test_what_fails_fails_alone_and_is_told_at_the_end(
    project: Project, releases: list[Path], here: list[int]
) -> None:
    unreadable = project.folder / "unreadable.toml"
    unreadable.write_text("version = ")
    failing = written(project, "hooked", "1.0.0", "v1.img", "raw", '[hooks]\nafter = [["false"]]')
    answer = project.otapack("matrix", failing, releases[0], unreadable, "-o", project.out)
    assert answer.json["failed"] == 2
    codes = [row["error"] and row["error"]["code"] for row in answer.json["releases"]]
    assert codes == ["hook-failed", None, "config-syntax"]
    assert answer.code == "hook-failed"
    assert answer.status == ConfigError.exit_status
    assert files(project.out / "hooked-1.0.0") == {}
    assert (project.out / "gateway-1.0.0/gateway-1.0.0.swu").exists()


def test_two_files_of_one_release_are_refused_before_anything_is_built(
    project: Project, releases: list[Path], here: list[int]
) -> None:
    again = project.folder / "again.toml"
    again.write_text(releases[0].read_text())
    answer = project.otapack("matrix", releases[0], again, "-o", project.out)
    assert answer.code == "release-content"
    assert (here, project.out.exists()) == ([], False)


def test_a_file_that_is_given_twice_is_built_once(
    project: Project, releases: list[Path], here: list[int]
) -> None:
    answer = project.otapack("matrix", releases[2], releases[2], "-o", project.out)
    assert [row["product"] for row in answer.json["releases"]] == ["sensor"]


def test_the_time_and_changes_hold_in_each_build(
    project: Project, here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    path = written(project, "gateway", "1.0.0", "v1.img", "raw", HOOK)
    answer = project.otapack("matrix", path, "-o", project.out, "--set", "version=3.0.0")
    assert answer.status == 0, answer.log
    report = (project.out / "gateway-3.0.0/report.json").read_text()
    assert f'"source_date_epoch": {EPOCH}' in report


def test_the_environment_of_the_call_is_set_in_workers_that_have_another(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")  # taken back at the end
    path = written(project, "gateway", "1.0.0", "v1.img", "raw", HOOK)
    settings = Settings((), None, int(EPOCH), 1, {"SOURCE_DATE_EPOCH": EPOCH})
    outcomes = matrix.run(matrix.plan([path], project.out, settings), settings, Here(), lambda outcome: None)
    assert [outcome.error for outcome in outcomes] == [None]


@pytest.mark.parametrize(
    "words", [("--jobs", "0"), ("--jobs", "2", "--dask", "tcp://192.0.2.1:8786")], ids=["none", "cluster"]
)
def test_jobs_that_cannot_be_are_refused(
    project: Project, releases: list[Path], words: tuple[str, ...]
) -> None:
    assert project.otapack("matrix", *releases, "-o", project.out, *words).code == "config-value"


def test_a_worker_with_other_libraries_builds_nothing(
    project: Project, releases: list[Path], here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(({"zstd": "1.5.5"}, {"zstd": "1.5.7"}))
    monkeypatch.setattr(tools, "versions", lambda: next(asked))
    answer = project.otapack("matrix", releases[0], "-o", project.out)
    assert (answer.code, answer.json["error"]["found"]) == ("worker-differs", "zstd 1.5.7")
    assert not project.out.exists()


def test_without_dask_it_is_told_what_to_install(
    project: Project, releases: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = project.otapack("matrix", *releases, "-o", project.out, "--dask", "local")
    assert answer.code == "tool-missing"
    assert "otakit[dask]" in answer.log


def test_a_fault_of_our_own_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "_build", lambda *words: [][0])
    settings = Settings((), None, 0, 1, {})
    job = matrix.Job(tmp_path / "a.toml", "a", "1", 1, Signer(tmp_path, tmp_path), tmp_path)
    with pytest.raises(IndexError):
        matrix.run([job], settings, Here(), lambda outcome: None)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("file-missing", "it", expected=1, found="none", hint="look"),
        TrustError("certificate", "expired"),
    ],
    ids=["all", "least"],
)
def test_an_error_is_the_same_in_another_process(error: OtaError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (again.to_json(), str(again)) == (error.to_json(), str(error))


@pytest.mark.build
def test_processes_and_dask_give_the_bytes_of_a_build_alone(project: Project, releases: list[Path]) -> None:
    ways: dict[str, tuple[str, ...]] = {
        "1 process": ("--jobs", "1"),
        "2 processes": ("--jobs", "2"),
        "1 Dask worker": ("--dask", "local", "--jobs", "1"),
        "2 Dask workers": ("--dask", "local", "--jobs", "2"),
    }
    releases[0] = written(project, "gateway", "1.0.0", "v1.img", "delta", HOOK)
    for path in releases:
        otapack("build", path, "-o", project.folder / "alone" / path.stem)
    alone = files(project.folder / "alone")
    assert len(alone) > 10
    for way, words in ways.items():
        otapack("matrix", *releases, "-o", project.folder / way, *words)
        found = files(project.folder / way)
        assert sorted(found) == sorted(alone), way
        assert bool(found == alone), way


@pytest.mark.build
@pytest.mark.parametrize("place", [(), ("--dask", "local")], ids=["process", "Dask"])
def test_a_worker_that_is_killed_is_told(project: Project, place: tuple[str, ...]) -> None:
    killer = written(
        project, "killer", "1.0.0", "v1.img", "raw", '[hooks]\nbefore = [["sh", "-c", "kill -9 $PPID"]]'
    )
    done = otapack("matrix", killer, "-o", project.out, "--jobs", "1", *place, status=ConfigError.exit_status)
    assert "worker-lost" in done
    assert files(project.out) == {}


@pytest.mark.build
def test_a_cluster_of_our_own_listens_on_loopback_only() -> None:
    with workers.dask(workers.LOCAL, 1) as executor:
        worker = executor.submit(os.getpid).result()
        assert worker != os.getpid()
        addresses = [*listening(os.getpid()), *listening(worker)]
    assert len(addresses) >= 2
    assert set(addresses) == {LOOPBACK}


LOOPBACK = "0100007F"  # 127.0.0.1, as in /proc/net/tcp


def listening(process: int) -> list[str]:
    """Addresses on which a process takes connections."""
    links = [os.readlink(file) for file in Path(f"/proc/{process}/fd").iterdir() if file.is_symlink()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets]


def otapack(*words: str | Path, status: int = 0) -> str:
    """Run it as a program; what it said on stderr."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(packager.__file__).parents[1]),
        "SOURCE_DATE_EPOCH": EPOCH,
    }
    command = [sys.executable, "-m", "packager.cli", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stderr
