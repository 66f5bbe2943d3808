"""The example for CI in docs/: it is what it says, in form. test_ci_runs.py runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from packager.tests.conftest import FindTool

CI = Path(__file__).parents[2] / "docs/ci"


def steps() -> list[dict[str, Any]]:
    """Of the workflow's one job."""
    (job,) = yaml.safe_load((CI / "github.yml").read_text())["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_the_workflow_runs_the_script_and_keeps_the_report_whatever_happens() -> None:
    workflow = yaml.safe_load((CI / "github.yml").read_text())
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    by_name = {step["name"]: step for step in steps() if "name" in step}
    work = by_name["Build, price, gate, publish"]
    assert "ci/release.sh release.toml" in work["run"] and work["shell"] == "bash"
    script = (CI / "release.sh").read_text()
    for name in ("CACHE", "CATALOGUE", "TARGET", "MAX_BYTES", "LINK"):
        assert name in work["env"] and f"${{{name}:" in script
    keeping = by_name["Keep the report"]
    assert keeping["if"] == "always()" and "out/report.html" in keeping["with"]["path"].split()
    caching = by_name["The catalogue's copy"]
    assert caching["with"]["path"] == work["env"]["CACHE"]


def test_every_step_does_one_thing() -> None:
    for step in steps():
        assert ("run" in step) != ("uses" in step), step


@pytest.mark.tool("shellcheck")
@pytest.mark.parametrize("dialect", ["sh"])
def test_the_script_is_plain_posix_shell(tool: FindTool, dialect: str) -> None:
    check(tool, (CI / "release.sh").read_text(), dialect)


@pytest.mark.tool("shellcheck")
@pytest.mark.parametrize("step", [step for step in steps() if "run" in step], ids=lambda step: step["name"])
def test_what_the_workflow_runs_is_good_shell(tool: FindTool, step: dict[str, Any]) -> None:
    check(tool, step["run"], "bash")


def check(tool: FindTool, text: str, dialect: str) -> None:
    done = subprocess.run(
        [tool("shellcheck"), "--shell", dialect, "-"], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
