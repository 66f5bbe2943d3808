"""What holds for the project as a whole: import arrows, style, types, error codes, and that a wheel works."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import CODES

ROOT = Path(__file__).parents[2]
PACKAGES = ("ota", "handlers", "packager", "boards")

# Who may import whom, besides itself: docs/architecture.md, "Imports point one way".
ARROWS: dict[str, set[str]] = {
    "ota.errors": set(),
    "ota.interfaces": set(),
    "ota.native": {"ota.errors", "ota.interfaces"},
    "ota.formats": {"ota.errors", "ota.interfaces", "ota.native"},
    "ota.settings": {"ota.errors"},
    "ota.board": {"ota.errors", "ota.settings", "ota.boot.table", "boards"},
    "ota.io": {"ota.errors", "ota.interfaces", "ota.formats", "ota.native"},
    "ota.trust": {"ota.errors", "ota.interfaces", "ota.formats", "ota.native"},
    "ota.boot": {"ota.errors", "ota.interfaces", "ota.io", "ota.board", "ota.boot.table"},
    "ota.boot.table": set(),
    "ota.sync": {"ota.errors", "ota.interfaces", "ota.formats", "ota.native", "ota.io"},
    "ota.network": {"ota.errors", "ota.settings", "ota.io"},
    "ota.acceptance": {"ota.errors", "ota.formats", "ota.settings"},
    "ota.commands": {"ota.errors", "ota.settings", "ota.io"},
    "ota.health": {"ota.errors", "ota.settings", "ota.io"},
    "ota.config": {
        "ota.errors", "ota.settings", "ota.acceptance", "ota.board", "ota.boot", "ota.boot.table",
        "ota.commands", "ota.health", "ota.network", "ota.io", "ota.trust",
    },
    "ota.lock": {"ota.errors", "ota.io"},
    "ota.record": {"ota.errors", "ota.io"},
    "ota.device": {
        "ota.errors", "ota.interfaces", "ota.board", "ota.config", "ota.io", "ota.native", "ota.sync",
    },
    "ota.job": {"ota.errors", "ota.interfaces", "ota.formats", "ota.io", "ota.trust", "ota.device"},
    "ota.files": {"ota.errors", "ota.interfaces", "ota.io", "ota.sync"},
    "ota.filesystem": {
        "ota.errors", "ota.formats", "ota.io", "ota.device", "ota.files", "ota.job",
    },
    "ota.slotsync": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.io", "ota.sync", "ota.device", "ota.job",
    },
    "ota.choice": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.io", "ota.sync", "ota.config", "ota.device",
    },
    "ota.alternative": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.io", "ota.native", "ota.sync", "ota.choice",
        "ota.device", "ota.job", "ota.slotsync",
    },
    "ota.layout": {"ota.errors", "ota.formats", "ota.io"},
    "ota.package": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.io", "ota.trust", "ota.job",
    },
    "ota.places": {"ota.errors", "ota.io", "ota.job"},
    "ota.decision": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.boot", "ota.acceptance", "ota.commands",
        "ota.device", "ota.job", "ota.package", "ota.places", "ota.board",
    },
    "ota.installer": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.io", "ota.boot", "ota.boot.table", "ota.commands",
        "ota.decision", "ota.record",
    },
    "ota.folder": {"ota.errors", "ota.formats", "ota.device", "ota.package", "ota.decision"},
    "ota.installation": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.io", "ota.device", "ota.decision",
        "ota.installer", "ota.folder", "ota.package", "ota.record", "ota.statistics",
    },
    "ota.startup": {
        "ota.errors", "ota.interfaces", "ota.board", "ota.boot", "ota.boot.table", "ota.acceptance",
        "ota.config", "ota.health", "ota.lock", "ota.record", "ota.io", "ota.device", "ota.job",
        "ota.package", "ota.decision", "ota.installation",
    },
    "ota.status": {
        "ota.interfaces", "ota.board", "ota.boot", "ota.boot.table", "ota.device", "ota.record",
        "ota.startup",
    },
    "ota.verification": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.board", "ota.io", "ota.sync", "ota.lock",
        "ota.device", "ota.slotsync",
    },
    "ota.service": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.boot", "ota.boot.table", "ota.acceptance",
        "ota.device", "ota.job", "ota.decision",
    },
    "ota.progress": {"ota.interfaces"},
    "ota.statistics": {"ota.interfaces"},
    "handlers": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.native", "ota.io", "ota.sync",
        "ota.device", "ota.job", "ota.alternative", "ota.layout", "ota.slotsync", "ota.files",
        "ota.filesystem",
    },
    "packager": {
        "ota.errors", "ota.interfaces", "ota.formats", "ota.native", "ota.settings", "ota.board", "ota.trust",
        "ota.io", "ota.sync", "ota.boot.table",
    },
}  # fmt: skip


def sources() -> Iterator[tuple[str, Path]]:
    """(module, file) of everything that is shipped."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "tests" not in path.parts:
                parts = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> Iterator[str]:
    """The project's own modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in PACKAGES)


def owner(module: str) -> str:
    """The row of ARROWS that a module belongs to; ota/cli.py has none: it may import everything."""
    rows = [row for row in (*ARROWS, "boards") if module == row or module.startswith(f"{row}.")]
    return max(rows, key=len, default=module)


@pytest.mark.parametrize(("module", "path"), list(sources()), ids=[module for module, _ in sources()])
def test_imports_point_one_way(module: str, path: Path) -> None:
    if module in ("ota", "ota.cli"):
        return
    mine = owner(module)
    allowed = ARROWS.get(mine, set()) | {mine}
    for name in imports(path):
        assert owner(name) in allowed, f"{module} imports {name}"


def test_handlers_do_not_know_each_other() -> None:
    for module, path in sources():
        if module.startswith("handlers."):
            assert not [name for name in imports(path) if name.startswith("handlers")], module


def test_only_the_command_line_knows_the_handlers() -> None:
    knowing = [m for m, path in sources() if any(name.startswith("handlers") for name in imports(path))]
    assert sorted(m for m in knowing if not m.startswith("handlers")) == ["ota.cli"]


def test_every_code_is_used_and_every_used_code_is_listed() -> None:
    text = "\n".join(path.read_text() for module, path in sources() if module != "ota.errors")
    assert [code for code in CODES if f'"{code}"' not in text] == []


def test_tables_in_the_documentation_are_those_of_the_code() -> None:
    check(sys.executable, ROOT / "docs/tables.py", "--check")


def check(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "command",
    [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]],
    ids=["ruff", "ruff-format", "mypy-strict"],
)
def test_style_and_types(command: list[str]) -> None:
    check(sys.executable, "-m", *command)


@pytest.mark.build
def test_the_wheel_installs_in_an_empty_environment_and_both_programs_run(tmp_path: Path) -> None:
    check(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("otakit-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in names if "/tests/" in name]
    assert {"ota/system/otakit", "ota/system/otakit-boot.service"} < set(names)
    assert "-abi3-" in wheel.name
    check(sys.executable, "-m", "venv", tmp_path / "venv")
    check(tmp_path / "venv/bin/pip", "install", "-q", f"{wheel}[build]")
    for program in ("ota", "otapack"):
        assert "VERB" in check(tmp_path / "venv/bin" / program, "--help")
    done = subprocess.run(
        [tmp_path / "venv/bin/ota", "--config", tmp_path / "none.toml", "status", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert json.loads(done.stdout)["error"]["code"] == "file-missing"
