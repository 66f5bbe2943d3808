"""Health checks: every unit active, every command well, in time, and the units still active behind them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ota import health
from ota.errors import ConfigError, DeviceError
from ota.health import Health
from ota.settings import Table

SYSTEMCTL = """#!/bin/sh
# is-active --quiet UNIT: the folder holds a file for each unit that is; each look is noted
echo "$3" >> {folder}/looks
test -e {folder}/"$3"
"""


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file for each unit that is active, for a systemctl of our own."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL.format(folder=tmp_path))
    (tmp_path / "bin/systemctl").chmod(0o755)
    return tmp_path


def check(found: Health) -> int:
    """How often it said that it is alive."""
    said: list[None] = []
    health.check(found, lambda: said.append(None))
    return len(said)


def refused(found: Health) -> str:
    with pytest.raises(DeviceError) as caught:
        check(found)
    assert caught.value.code == "health-check"
    return str(caught.value)


def test_all_commands_have_to_end_well(tmp_path: Path) -> None:
    assert check(Health(commands=(("true",), ("touch", f"{tmp_path}/done")))) == 2
    assert (tmp_path / "done").exists()
    message = refused(Health(commands=(("true",), ("sh", "-c", "echo too hot; exit 7"), ("true",))))
    assert "status 7: too hot" in message


def test_a_command_that_is_missing_is_a_failure() -> None:
    assert "/no/such/check" in refused(Health(commands=(("/no/such/check",),)))


def test_a_command_may_not_take_longer_than_all_together() -> None:
    started = time.monotonic()
    assert "did not end in time" in refused(Health(commands=(("sleep", "60"),), timeout_s=1))
    assert time.monotonic() - started < 10


def test_units_are_waited_for(units: Path) -> None:
    (units / "app.service").touch()
    assert check(Health(units=("app.service",))) == 2
    message = refused(Health(units=("app.service", "web.service"), timeout_s=2))
    assert "web.service" in message and "not active after 2 s" in message


def test_units_are_reached_before_commands_run(units: Path) -> None:
    command = ("sh", "-c", f"touch {units}/ran")
    refused(Health(commands=(command,), units=("web.service",), timeout_s=1))
    assert not (units / "ran").exists()


def test_a_unit_that_does_not_stay_active_is_a_failure(units: Path) -> None:
    (units / "app.service").touch()
    crash = ("rm", f"{units}/app.service")
    assert "it no longer is" in refused(Health(commands=(crash,), units=("app.service",)))


@pytest.mark.parametrize(
    "table",
    [
        {"commands": ["true"]},
        {"commands": [[]]},
        {"commands": [["sh", 1]]},
        {"units": "app"},
        {"timeout_s": 0},
        {"command": [["true"]]},
    ],
    ids=str,
)
def test_a_wrong_table_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        health.parse(Table(Path("device.toml"), table, "health"))
    assert "health" in str(caught.value)
