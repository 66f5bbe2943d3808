"""The archives of `archives.py`, each through our whole installer and through stock SWUpdate 2024.12.

The table says what stock does, and where we refuse what stock takes, why; here both are made to prove it.
"""

from __future__ import annotations

import os

import pytest

from ota.tests import stock
from ota.tests.archives import ACCEPTED, CASES, REFUSED, STRICTER, Case, Files
from ota.tests.world import World, sha256

pytestmark = pytest.mark.compat

PAYLOAD = bytes(range(251)) * 40
SLOT_SIZE = 64 << 10  # bytes; small slots are quickly compared


@pytest.fixture
def world(shared: World) -> World:
    shared.reset()
    for slot in (shared.slot_a, shared.slot_b):
        os.truncate(slot, SLOT_SIZE)
    return shared


@pytest.fixture(scope="module")
def files(shared: World) -> Files:
    """What a good archive holds: a signed description and the one file that it installs as it is."""
    payload = shared.folder / "a.bin"
    payload.write_bytes(PAYLOAD)
    entry = (
        f'{{ filename = "a.bin"; type = "raw"; device = "/dev/mmcblk0p3"; sha256 = "{sha256(payload)}"; }}'
    )
    shared.make_package(shared.description(entry), payload)
    names = ("sw-description", "sw-description.sig", "a.bin")
    return {name: (shared.folder / "pack" / name).read_bytes() for name in names}


def is_installed(world: World) -> bool:
    return world.slot_b.read_bytes()[: len(PAYLOAD)] == PAYLOAD


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_archive_meets_the_fate_that_the_table_foretells(case: Case, world: World, files: Files) -> None:
    package = world.folder / "case.swu"
    package.write_bytes(case.build(files))
    is_untouched = world.untouched()

    ours = world.ota("install", package)
    if case.codes:
        assert ours.code in case.codes
        assert is_untouched()
    else:
        assert ours.status == 0, ours.errors
        assert is_installed(world)

    world.slot_b.write_bytes(b"\xff" * SLOT_SIZE)
    theirs = stock.install(world, stock.BACKPORTS, package)
    assert theirs.installed == case.stock, theirs.log
    assert is_installed(world) == case.stock


def test_we_differ_from_stock_only_where_the_table_says_why() -> None:
    assert all(case.stock and not case.codes for case in ACCEPTED)
    assert all(not case.stock and case.codes for case in REFUSED)
    assert all(case.stock and case.codes and case.why for case in STRICTER)
