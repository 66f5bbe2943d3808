"""Updates from where vendors really put them: a web server, and object stores that serve single ranges."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ota.tests.stores import Moto, Store, Weed
from ota.tests.world import World


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    with Weed(tmp_path_factory.mktemp("weed") / "weed") as running:
        yield running


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with Moto(tmp_path_factory.mktemp("moto") / "moto") as running:
        yield running


def package(world: World, url: str) -> Path:
    return world.make_delta_package(world.v2, url)


def upload(world: World, store: Store) -> str:
    """Publish the second release; returns the object's name."""
    published, _ = world.make_delta(world.v2)
    store.put(published)
    return published.name


def trust(world: World, ca: Path, more: str = "") -> None:
    world.write_config(network=f'network = {{ ca = "{ca}", retries = 1{more} }}')


def installs(world: World, swu: Path) -> None:
    """And fetches what was foreseen."""
    foreseen = world.ota("plan", swu).answer["fetched_bytes"]
    outcome = world.ota("install", swu)
    assert outcome.status == 0, outcome.errors
    assert world.holds(world.slot_b, world.v2)
    assert outcome.answer["fetched_bytes"] == foreseen
    assert isinstance(foreseen, int) and foreseen > 0


ANSWERS: dict[str, tuple[dict[str, str], int]] = {
    "one range": ({"Range": "bytes=10-19"}, 206),
    "several ranges": ({"Range": "bytes=10-19,30-39"}, 200),
    "wrong If-Range": ({"Range": "bytes=10-19", "If-Range": '"another"'}, 206),
    "wrong If-Match": ({"Range": "bytes=10-19", "If-Match": '"another"'}, 412),
    "behind the end": ({"Range": "bytes=999999999-999999999"}, 416),
}


@pytest.mark.parametrize(("headers", "status"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("name", ["weed", "moto"])
def test_stores_answer_as_their_docstring_says(
    world: World, request: pytest.FixtureRequest, name: str, headers: dict[str, str], status: int
) -> None:
    running: Weed | Moto = request.getfixturevalue(name)
    url = running.store.presign(upload(world, running.store))
    with requests.Session() as session:
        session.trust_env = False  # REQUESTS_CA_BUNDLE would override what follows
        session.verify = str(running.ca)
        assert session.get(url, headers=headers).status_code == status


def test_from_a_web_server(world: World) -> None:
    published, _ = world.make_delta(world.v2)
    installs(world, package(world, f"{world.server.url}/{published.name}"))


def test_from_seaweedfs_by_a_pre_signed_url(world: World, weed: Weed) -> None:
    trust(world, weed.ca)
    installs(world, package(world, weed.store.presign(upload(world, weed.store))))


def test_from_moto_by_a_pre_signed_url(world: World, moto: Moto) -> None:
    trust(world, moto.ca)
    installs(world, package(world, moto.store.presign(upload(world, moto.store))))


def test_without_a_signature_nothing_is_written(world: World, weed: Weed) -> None:
    trust(world, weed.ca)
    untouched = world.untouched()
    assert (
        world.ota("install", package(world, weed.store.url(upload(world, weed.store)))).code == "http-status"
    )
    assert untouched()


def test_with_an_expired_signature_nothing_is_written(world: World, weed: Weed) -> None:
    trust(world, weed.ca)
    untouched = world.untouched()
    outcome = world.ota("install", package(world, expired(weed.store, upload(world, weed.store))))
    assert (outcome.status, outcome.code) == (5, "http-status")
    assert "403" in outcome.errors
    assert untouched()


def test_an_expired_signature_is_replaced_by_the_refresh_command(world: World, weed: Weed) -> None:
    """The command gives an expired URL, then one that holds; both times it is told the package's URL."""
    key = upload(world, weed.store)
    old, new = expired(weed.store, key), weed.store.presign(key)
    command, asked = world.folder / "refresh.sh", world.folder / "asked"
    command.write_text(
        f'echo "$1" >> {asked}\n[ $(wc -l < {asked}) -gt 1 ] && echo "{new}" || echo "{old}"\n'
    )
    trust(world, weed.ca, f', refresh = ["sh", "{command}"]')
    url = weed.store.url(key)
    swu = package(world, url)
    outcome = world.ota("install", swu)
    assert outcome.status == 0, outcome.errors
    assert world.holds(world.slot_b, world.v2)
    assert asked.read_text().splitlines() == [url] * 2


def expired(store: Store, key: str) -> str:
    """A pre-signed URL whose time is over."""
    url = store.presign(key, expires_s=1)
    time.sleep(2.1)
    return url
