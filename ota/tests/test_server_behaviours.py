"""The servers of `behaviours.py`, each in front of our whole installer and of stock SWUpdate 2024.12.

`docs/servers.md` shows the list; here both programs are made to prove it.
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
import trustme

from ota.tests import stock
from ota.tests.behaviours import CASES, Case, Stock
from ota.tests.odd import Odd
from ota.tests.world import SLOT_SIZE, World

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.compat

STOPPED_S = 20.0


def certificate(world: World, kind: str) -> ssl.SSLContext | None:
    """A server's side of TLS; the world's device trusts the authority that is left in `odd-ca.pem`."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(world.folder / "odd-ca.pem")
    if not kind:
        return None
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    issued = {
        "good": lambda: authority.issue_cert("localhost"),
        "other host": lambda: authority.issue_cert("elsewhere.example"),
        "expired": lambda: authority.issue_cert(
            "localhost", not_before=yesterday - datetime.timedelta(days=1), not_after=yesterday
        ),
        "unknown CA": lambda: stranger.issue_cert("localhost"),
    }[kind]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_server_meets_the_outcome_that_the_table_foretells(case: Case, world: World) -> None:
    published, _ = world.make_delta(world.v2)
    tls = certificate(world, case.tls)
    world.write_config(network='network = { ca = "odd-ca.pem", retries = 3, timeout_s = 3 }')
    assert world.ota("adopt", "a", world.make_delta(world.v1)[1]).status == 0
    running = world.slot_a.read_bytes()
    file = published.read_bytes()
    with Odd(file, case.make(), tls) as server:
        swu = world.make_delta_package(world.v2, server.url)
        planned = world.ota("plan", swu).answer["fetched_bytes"]
        ours = world.ota("install", swu)
    assert ours.code == case.code, ours.errors
    assert bool(world.slot_a.read_bytes() == running)
    assert world.holds(world.slot_b, world.v2) == (case.code is None)
    assert ("boot_slot=b" in world.environment.read_text()) == (case.code is None)
    if case.code is None and case.extra is not None:
        assert isinstance(planned, int)
        fetched = ours.answer["fetched_bytes"]
        assert isinstance(fetched, int)
        assert planned <= fetched <= planned + case.extra * len(file)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stock_meets_the_outcome_that_the_table_foretells(case: Case, world: World) -> None:
    published, _ = world.make_delta(world.v2)
    world.slot_b.write_bytes(b"\xff" * SLOT_SIZE)
    tls = certificate(world, case.tls)
    with Odd(published.read_bytes(), case.make(), tls) as server:
        assert outcome(world, world.make_delta_package(world.v2, server.url)) is case.stock


def outcome(world: World, swu: Path) -> Stock:
    """How stock SWUpdate fares; what it says is held against the slot."""
    authority = world.folder / "odd-ca.pem"
    try:
        run = stock.install(world, stock.BACKPORTS, swu, authority=authority, timeout_s=STOPPED_S)
    except stock.HungError:
        return Stock.HANGS
    except stock.CrashedError:
        return Stock.CRASHES
    if not run.installed:
        return Stock.FAILS
    return Stock.RIGHT if world.holds(world.slot_b, world.v2) else Stock.WRONG
