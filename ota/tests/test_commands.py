"""The operator's own commands around an installation."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from ota.tests.world import World


@pytest.fixture
def package(world: World) -> Path:
    image = world.folder / "system.img"
    image.write_bytes(b"the new system\n" * 5000)
    return world.make_package(world.description(world.raw_entry(image)), image)


def configure(world: World, before: str = "", after: str = "") -> None:
    texts = {"before": before, "after": after}
    lines = [f'{name} = ["sh", "-c", "{text}"]' for name, text in texts.items() if text]
    world.write_config(limits="limits.script_s = 1", z="[commands]\n" + "\n".join(lines))


def test_they_run_before_anything_is_written_and_after_everything_was(world: World, package: Path) -> None:
    log = world.folder / "log"
    log.unlink(missing_ok=True)
    note = f"head -c 3 {world.slot_b} | tr '\\\\377' 'x' >>{log}; tail -n 1 {world.environment} >>{log}"
    configure(world, note, note)
    assert world.ota("install", package).status == 0
    assert log.read_text() == "xxxboot_slot=a\ntheustate=1\n"


@pytest.mark.parametrize("text", ["exit 1", "sleep 77705", "no-such-program"])
def test_the_first_one_may_refuse_the_update(world: World, package: Path, text: str) -> None:
    done = world.folder / "done"
    configure(world, text, f"touch {done}")
    untouched = world.untouched()
    start = time.monotonic()
    assert world.ota("install", package).code == "command-refused"
    assert time.monotonic() - start < 5
    assert untouched()
    assert not done.exists()


def test_it_is_asked_when_the_update_is_for_this_device_and_before_the_target_is_looked_at(
    world: World, package: Path
) -> None:
    asked = world.folder / "asked"
    configure(world, f"touch {asked}; rm -f {world.slot_b}")
    assert world.ota("install", package, "--select", "stable,copy-z").code == "selection-missing"
    assert not asked.exists()
    assert world.ota("install", package).code == "slot-unreadable"
    assert asked.exists()


@pytest.mark.parametrize("text", ["exit 1", "sleep 77705"])
def test_the_second_one_cannot_undo_the_update(
    world: World, package: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    configure(world, after=text)
    assert world.ota("install", package).status == 0
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert world.environment.read_text() == "boot_slot=b\nustate=1\n"


def test_a_second_one_that_is_missing_is_only_logged(world: World, package: Path) -> None:
    world.write_config(z='commands.after = ["/no/such/program"]')
    assert world.ota("install", package).status == 0
    world.write_config(z='commands.before = ["/no/such/program"]')
    assert world.ota("install", package).code == "tool-missing"


@pytest.mark.parametrize("arguments", [("install", "--dry-run"), ("plan",)], ids=["dry-run", "plan"])
def test_a_dry_run_runs_none(world: World, package: Path, arguments: tuple[str, ...]) -> None:
    done = world.folder / "done"
    done.unlink(missing_ok=True)
    configure(world, f"touch {done}", f"touch {done}")
    assert world.ota(*arguments, package).status == 0
    assert not done.exists()
