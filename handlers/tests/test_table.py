"""The table of handlers: what a row leads to, and that nothing of it is loaded before an update wants it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from handlers import HANDLERS
from ota.tests.world import World, sha256

# As if the dynamic loader did not find libarchive.
WITHOUT = 'import sys; sys.modules["ota.native._archive"] = None; from ota import cli; sys.exit(cli.main())'


@pytest.mark.parametrize("kind", HANDLERS)
def test_every_row_leads_to_a_handler(kind: str) -> None:
    assert callable(HANDLERS[kind].load())


def test_no_handler_is_loaded_before_an_update_has_an_entry_for_it() -> None:
    script = 'import sys, ota.cli, handlers; print(*(name for name in sys.modules if "handlers." in name))'
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def install(world: World, package: Path) -> dict[str, object]:
    config = world.folder / "device.toml"
    command = [sys.executable, "-c", WITHOUT, "--config", str(config), "install", str(package), "--json"]
    done = subprocess.run(command, capture_output=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_a_library_that_is_missing_is_named_before_anything_is_written(world: World) -> None:
    payload = world.folder / "files.tar"
    payload.write_bytes(bytes(10240))
    entry = (
        f'{{ filename = "{payload.name}"; type = "archive"; path = "{world.folder}"; '
        f'sha256 = "{sha256(payload)}"; }}'
    )
    untouched = world.untouched()
    error = install(world, world.make_package(world.description(entry), payload))["error"]
    assert isinstance(error, dict) and error["code"] == "tool-missing" and "archive" in error["what"]
    assert untouched()


def test_what_does_not_need_it_installs_without(world: World) -> None:
    image = world.folder / "system.img"
    image.write_bytes(b"a new system" * 1000)
    answer = install(world, world.make_package(world.description(world.raw_entry(image)), image))
    assert answer["written_bytes"] == 12_000
