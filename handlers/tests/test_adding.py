"""docs/handlers.md tells how to add a handler: one file, one row. Here it is done."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ota.tests.world import World, sha256

ROOT = Path(__file__).parents[2]
BITSTREAM = bytes(range(256)) * 5000


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The handlers with one file more and one row more, as the page has them."""
    module, row = re.findall(r"```python\n(.*?)```", (ROOT / "docs/handlers.md").read_text(), re.DOTALL)
    folder = tmp_path / "checkout" / "handlers"
    shutil.copytree(ROOT / "handlers", folder, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    (folder / "fpga.py").write_text(module)
    table = (folder / "__init__.py").read_text()
    changed = table.replace("    import handlers.raw", "    import handlers.fpga\n    import handlers.raw", 1)
    changed = re.sub(r"(HANDLERS: [^\n]*\{\n)", rf"\1{row}", changed, count=1)
    assert changed.count("fpga") == 4
    (folder / "__init__.py").write_text(changed)
    return folder.parent


@pytest.fixture
def package(world: World) -> Path:
    bitstream = world.folder / "bits"
    bitstream.write_bytes(BITSTREAM)
    entry = (
        f'{{ filename = "bits"; type = "fpga"; device = "{world.folder}/fpga0"; '
        f'sha256 = "{sha256(bitstream)}"; }}'
    )
    return world.make_package(world.description(entry), bitstream)


def install(world: World, package: Path, checkout: Path) -> dict[str, object]:
    """`ota install` with the handlers of that checkout."""
    config = world.folder / "device.toml"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ota.cli", "--config", config, "install", package, "--json"],
        env={**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{ROOT}"},
        cwd=checkout,
        capture_output=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_pages_handler_installs(world: World, package: Path, checkout: Path) -> None:
    file = world.folder / "fpga0"
    file.write_bytes(b"")
    answer = install(world, package, checkout)
    assert "error" not in answer, answer
    assert bool(file.read_bytes() == BITSTREAM)
    assert "boot_slot=b" in world.environment.read_text()


def test_it_refuses_what_it_should_with_nothing_changed(world: World, package: Path, checkout: Path) -> None:
    (world.folder / "fpga0").unlink(missing_ok=True)
    untouched = world.untouched()
    error = install(world, package, checkout)["error"]
    assert isinstance(error, dict) and error["code"] == "slot-unreadable"
    assert untouched()


def test_without_its_row_the_type_is_refused(world: World, package: Path) -> None:
    assert world.ota("install", package).code == "description-type"


def test_it_keeps_to_the_rules_of_the_house(checkout: Path) -> None:
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        config = ["--config-file" if command == ["mypy"] else "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run(
            [sys.executable, "-m", *command, *config, "handlers/fpga.py"],
            env={**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / "build/mypy")},
            cwd=checkout,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
