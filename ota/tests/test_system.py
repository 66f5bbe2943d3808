"""What starts `ota boot`: systemd's unit and the init script, which are shipped beside the modules."""

from __future__ import annotations

import configparser
import os
import subprocess
import time
from pathlib import Path

import pytest

SYSTEM = Path(__file__).parents[1] / "system"
AGENT = """
import sys, time
print(*sys.argv[1:], sys.flags.isolated, flush=True)
print("a line on stderr", file=sys.stderr, flush=True)
time.sleep(float("{delay}"))
"""


def test_the_unit_runs_the_agent_beside_the_rest_of_the_system() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's documentation has it
    unit.read(SYSTEM / "otakit-boot.service")
    service = unit["Service"]
    assert service["ExecStart"] == "/usr/bin/python3 -I /usr/bin/ota boot"
    assert service["Type"] == "exec"  # a oneshot would hold up multi-user.target
    assert service["StandardOutput"] == "journal+console"
    assert {"network-online.target", "time-sync.target"} < set(unit["Unit"]["After"].split())


class Script:
    """The init script, with an agent and a console of our own."""

    def __init__(self, folder: Path, delay: float) -> None:
        self.console, self._pid = folder / "console", folder / "pid"
        (folder / "ota").write_text(AGENT.format(delay=delay))
        own = {
            "/usr/bin/ota": folder / "ota",
            "/dev/console": self.console,
            "/run/otakit.pid": self._pid,
            "/usr/bin/python3": Path(subprocess.check_output(["which", "python3"], text=True).strip()),
        }
        text = (SYSTEM / "otakit").read_text()
        for path, mine in own.items():
            assert text.count(path) == 1, path
            text = text.replace(path, str(mine))
        self._script = folder / "otakit"
        self._script.write_text(text)

    def __call__(self, verb: str) -> int:
        return subprocess.run(["sh", self._script, verb], timeout=10).returncode

    def wait(self, *, runs: bool) -> None:
        deadline = time.monotonic() + 20
        while self._pid.exists() != runs:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_script_starts_it_in_the_background_with_its_lines_on_the_console(tmp_path: Path) -> None:
    script = Script(tmp_path, delay=0.5)
    assert script("start") == 0
    script.wait(runs=True)
    script.wait(runs=False)
    assert script.console.read_text().splitlines() == ["boot 1", "a line on stderr"]


def test_the_script_stops_it(tmp_path: Path) -> None:
    script = Script(tmp_path, delay=600)
    script("start")
    script.wait(runs=True)
    time.sleep(0.2)
    assert script("stop") == 0
    script.wait(runs=False)


def test_the_script_knows_no_other_word(tmp_path: Path) -> None:
    assert Script(tmp_path, delay=0)("status") == 2


def test_the_script_can_be_executed() -> None:
    assert os.access(SYSTEM / "otakit", os.X_OK)


@pytest.mark.tool("shellcheck")
def test_the_script_is_plain_sh() -> None:
    subprocess.run(["shellcheck", "-s", "sh", SYSTEM / "otakit"], check=True)
