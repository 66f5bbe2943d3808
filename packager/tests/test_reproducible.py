"""With SOURCE_DATE_EPOCH, a build gives the same bytes anywhere and at any time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Set
from pathlib import Path

import pytest

import packager
from ota.errors import OtaError
from ota.formats.description import Form
from packager.commands.build import signing_time
from packager.tests import examples
from packager.tests.conftest import TYPES, FindTool, Project

# Every clock that a library could ask says another day.
CLOCK = """
#include <stdlib.h>
#include <time.h>
#include <sys/time.h>
static time_t now(void) { return atol(getenv("FAKE_TIME")); }
time_t time(time_t *t) { if (t) *t = now(); return now(); }
int gettimeofday(struct timeval *v, void *z) { v->tv_sec = now(); v->tv_usec = 0; return 0; }
int clock_gettime(clockid_t c, struct timespec *s) { s->tv_sec = now(); s->tv_nsec = 0; return 0; }
"""


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory, tool: FindTool) -> Path:
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    library = folder / "clock.so"
    subprocess.run([tool("cc"), "-shared", "-fPIC", "-o", library, folder / "clock.c"], check=True)
    return library


def build(
    project: Project,
    folder: Path,
    release: Path,
    clock: Path,
    days: int,
    processors: Set[int] = frozenset(os.sched_getaffinity(0)),
    **more: str,
) -> dict[str, bytes]:
    """Build in a process of its own, with another clock, and return every file of the output."""
    output = folder / "out"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(packager.__file__).parent.parent),
        "SOURCE_DATE_EPOCH": "1700000000",
        "LD_PRELOAD": str(clock),
        "FAKE_TIME": str(int(time.time()) + days * 86400),
        **more,
    }
    subprocess.run(
        [sys.executable, "-m", "packager.cli", "build", release, "-o", output],
        check=True, cwd=folder, env=environment, capture_output=True,
        preexec_fn=lambda: os.sched_setaffinity(0, processors),
    )  # fmt: skip
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "kind", [*TYPES, *(f'type = "raw"\ncompressed = "{word}"\nlevel = 1' for word in ("zlib", "xz", "lz4"))]
)
def test_builds_in_two_folders_on_two_days_are_equal(
    project: Project, tmp_path: Path, clock: Path, kind: str
) -> None:
    release = project.write(kind)
    elsewhere = tmp_path / "a much longer path" / "elsewhere"
    elsewhere.mkdir(parents=True)
    for path in (release, project.folder / "v1.img", project.folder / "v2.img"):
        shutil.copyfile(path, elsewhere / path.name)
        os.utime(elsewhere / path.name, (1, 1))
    first = build(project, tmp_path, Path("release.toml"), clock, 1, TZ="Asia/Tokyo", LC_ALL="C")
    second = build(project, elsewhere, elsewhere / "release.toml", clock, 400, TZ="UTC", LC_ALL="C.UTF-8")
    assert first == second
    assert "gateway-2.0.0.swu" in first and "report.json" in first


def test_so_are_builds_with_bases_on_one_processor_and_on_all(
    project: Project, tmp_path: Path, clock: Path, earlier: Path
) -> None:
    delta = TYPES["delta"] + '\nmethods = ["zchunk", "rdiff", "full"]\nfull-level = 3\n'
    named = '[[base]]\nversion = "0.9"\nimages = { rootfs = "v1.img" }\n[[base]]\nversion = "0.8"\n'
    release = project.write(delta + named, '[bases]\ncatalogue = "catalogue"\npublished = "publish"')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (tmp_path, elsewhere):
        shutil.copytree(earlier / "record", folder / "catalogue")
        shutil.copytree(earlier / "publish", folder / "publish")
    for path in (release, project.folder / "v1.img", project.folder / "v2.img"):
        shutil.copyfile(path, elsewhere / path.name)
    first = build(project, tmp_path, Path("release.toml"), clock, 1, {min(os.sched_getaffinity(0))})
    second = build(project, elsewhere, elsewhere / "release.toml", clock, 400, PYTHONHASHSEED="7")
    assert bool(first == second)
    assert "publish/rootfs-2.0.0-from-0.9.rdiff.zst" in first and "record/gateway/2.0.0.json" in first


@pytest.mark.parametrize("form", Form)
def test_so_are_builds_of_many_entries_that_are_encrypted_in_either_form(
    project: Project, tmp_path: Path, clock: Path, form: Form
) -> None:
    kinds = ("raw", "archive", "rawfile", "postinstall", "diskpart", "gptswap", "rdiff_file")
    encrypted = [examples.entry(kind, "encrypted = true") for kind in kinds[:4]]
    lines = [*encrypted, *map(examples.entry, kinds[4:]), '[encrypt]\nkey = "aes.key"']
    release = project.write_release("\n".join(lines), f'format = "{form}"')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copyfile(release, elsewhere / "release.toml")
    for name in ("v1.img", "v2.img"):
        shutil.copyfile(project.folder / name, elsewhere / name)
    examples.write_files(elsewhere)
    first = build(project, project.folder, release, clock, 1, TZ="Asia/Tokyo")
    second = build(project, elsewhere, elsewhere / "release.toml", clock, 400, PYTHONHASHSEED="7")
    assert first == second


def test_the_signature_states_the_epoch_that_is_given(project: Project, tmp_path: Path, clock: Path) -> None:
    release = project.write("raw")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (
        build(project, folder, release, clock, 0, SOURCE_DATE_EPOCH=epoch)
        for folder, epoch in zip(folders, ("1700000000", "1700000001"), strict=True)
    )
    assert first["gateway-2.0.0.swu"] != second["gateway-2.0.0.swu"]
    assert b"231114221320Z" in first["gateway-2.0.0.swu"]  # 2023-11-14 22:13:20


def test_without_an_epoch_it_is_now() -> None:
    assert abs(signing_time({}) - time.time()) < 5
    assert signing_time({"SOURCE_DATE_EPOCH": "0"}) == 0


@pytest.mark.parametrize("text", ["", "-1", "1.5", "now", "²", "9" * 20])
def test_a_wrong_epoch_is_refused(text: str) -> None:
    with pytest.raises(OtaError, match="SOURCE_DATE_EPOCH"):
        signing_time({"SOURCE_DATE_EPOCH": text})
