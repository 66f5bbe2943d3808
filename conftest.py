"""What all tests share: the outside programs of `bench/tools`, before those of the machine.

A test that lacks a program skips and names it; in CI, where nothing may be lacking, it fails.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ota.tests.world import World

_TOOLS = Path(__file__).parent / "build" / "tools" / "bin"
_SYSTEM = ("/usr/sbin", "/sbin")  # not on everybody's PATH, and mkfs.ext4 is there

os.environ["PATH"] = os.pathsep.join([str(_TOOLS), os.environ.get("PATH", os.defpath), *_SYSTEM])


# Machines are noisy; how long an example takes is no property of the code.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """Finds an outside program by name."""
    return _find


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Iterator[World]:
    """One device, its vendor and a web server for all tests of a module."""
    world = World(tmp_path_factory.mktemp("world"), tool)
    yield world
    world.close()


@pytest.fixture
def world(shared: World) -> World:
    """The device as it left the factory."""
    shared.reset()
    shared.write_config()
    return shared


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The mark `tool("rdiff", ...)` names what a test starts by name."""
    for mark in item.iter_markers("tool"):
        for name in mark.args:
            _find(name)


def _find(name: str) -> Path:
    if path := shutil.which(name):
        return Path(path)
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks the tool {name}")
    pytest.skip(f"needs the tool {name}: bench/tools/get.py {name}")
