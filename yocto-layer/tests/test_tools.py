"""What Yocto's own tools say of the layer, as far as they work without bitbake and a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from metadata import LAYER, ROOT, Metadata

pytestmark = pytest.mark.build

RELEASES = Metadata("conf/layer.conf")["LAYERSERIES_COMPAT_otakit"].split()


def run(*words: str | Path, cwd: Path = LAYER, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def lint(release: str, *files: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "oelint_adv", "--jobs", "1", "--release", release, *files)


@pytest.mark.parametrize("release", RELEASES)
def test_oelint_finds_nothing(release: str) -> None:
    files = [path for ending in ("bb", "bbappend", "bbclass") for path in sorted(LAYER.rglob(f"*.{ending}"))]
    done = lint(release, LAYER / "conf/layer.conf", *files)
    assert len(files) >= 6
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_oelint_would_find_something(tmp_path: Path) -> None:
    recipe = tmp_path / "otakit_0.1.0.bb"
    recipe.write_text(
        (LAYER / "recipes-support/otakit/otakit_0.1.0.bb").read_text().replace("SECTION", "SECTOIN")
    )
    assert "oelint.vars.mispell" in lint(RELEASES[0], recipe).stderr


def test_kas_reads_the_example(tmp_path: Path) -> None:
    """With empty repositories in place of those that it would clone."""
    repositories = {
        "bitbake": ["bin"],
        "openembedded-core": ["meta"],
        "meta-openembedded": ["meta-oe", "meta-python"],
    }
    overlay = "header:\n  version: 14\nrepos:\n"
    for name, folders in repositories.items():
        for folder in folders:
            (tmp_path / name / folder).mkdir(parents=True)
        overlay += f"  {name}: {{url: null, branch: null, path: {tmp_path / name}}}\n"
    shutil.copytree(LAYER, tmp_path / "checkout/yocto-layer")
    (tmp_path / "checkout/local.yml").write_text(overlay)
    run("git", "init", "-q", cwd=tmp_path / "checkout")
    files = "checkout/yocto-layer/kas/example.yml:checkout/local.yml"
    done = run(sys.executable, "-m", "kas", "dump", files, cwd=tmp_path, KAS_WORK_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "target: otakit-example-image" in done.stdout


def test_the_files_that_the_recipe_takes_make_a_whole_wheel(tmp_path: Path) -> None:
    source = tmp_path / "otakit-0.1.0"
    source.mkdir()
    for name in re.findall(
        r"file://([\w.]+);", (LAYER / "recipes-support/otakit/otakit_0.1.0.bb").read_text()
    ):
        if (ROOT / name).is_dir():
            made_here = shutil.ignore_patterns("__pycache__", "_*.c", "*.so")
            shutil.copytree(ROOT / name, source / name, ignore=made_here)
        else:
            shutil.copy(ROOT / name, source)
    words = ("-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source)
    done = run(sys.executable, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("otakit-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "ota/system/otakit",
        "ota/system/otakit-boot.service",
        "packager/cli.py",
        "boards/demo.toml",
    } < names
    assert any(re.fullmatch(r"ota/native/_zck\..*so", name) for name in names)
