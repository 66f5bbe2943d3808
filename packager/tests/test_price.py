"""What the build side says an update costs is what a device then says, to the byte."""

from __future__ import annotations

import pytest

from ota.errors import ConfigError
from ota.formats import zchunk
from ota.tests.world import World
from packager import price
from packager.price import Link, Method


def header(world: World, name: str) -> zchunk.Header:
    return zchunk.parse(world.make_delta(getattr(world, name))[1].read_bytes())


def test_a_device_that_holds_the_base_fetches_just_that(world: World) -> None:
    old, new = header(world, "v1"), header(world, "v2")
    assert world.ota("adopt", "a", world.make_delta(world.v1)[1]).status == 0
    expected = price.zchunk(new, old)
    done = world.ota("install", world.make_delta_package(world.v2))
    assert done.status == 0, done.errors
    assert (done.answer["fetched_bytes"], done.answer["requests"]) == (
        expected.fetched_bytes, expected.requests,
    )  # fmt: skip
    assert 0 < expected.fetched_bytes < price.zchunk(new, None).fetched_bytes


@pytest.mark.build
def test_so_does_a_device_that_holds_nothing(world: World) -> None:
    world.slot_a.write_bytes(bytes(len(world.slot_a.read_bytes())))
    expected = price.zchunk(header(world, "v2"), None)
    done = world.ota("install", world.make_delta_package(world.v2, source="/nonexistent"))
    assert (done.answer["fetched_bytes"], done.answer["requests"]) == (
        expected.fetched_bytes, expected.requests,
    )  # fmt: skip
    assert expected.fetched_bytes < expected.storage_bytes


def test_the_same_image_costs_nothing(world: World) -> None:
    same = header(world, "v2")
    assert (price.zchunk(same, same).fetched_bytes, price.zchunk(same, same).requests) == (0, 0)


def test_a_file_is_fetched_once_by_one_request() -> None:
    rdiff, full = price.file(Method.RDIFF, 1000, 1 << 20), price.file(Method.FULL, 1000, 8 << 20)
    assert (rdiff.fetched_bytes, rdiff.requests, rdiff.storage_bytes, rdiff.spool_bytes) == (
        1000,
        1,
        1000,
        1000,
    )
    assert full.memory_bytes - rdiff.memory_bytes == 7 << 20
    assert (full.spool_bytes, rdiff.spool_bytes) == (0, 1000)


def test_a_link_says_how_long_it_takes() -> None:
    link = price.parse_link("10Mbit,100ms")
    assert link == Link(10e6, 0.1)
    assert link.seconds(price.file(Method.FULL, 1_250_000, 1)) == 1.3
    assert link.seconds(price.file(Method.FULL, 1_250_000, 1), 1_250_000) == 2.6
    assert price.parse_link("56.5kbit,1.5s") == Link(56500, 1.5)


@pytest.mark.parametrize("text", ["", "10Mbit", "10mbit,1ms", "0Mbit,1ms", "10Mbit,100", "10Mbit, 100ms"])
def test_a_link_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        price.parse_link(text)
    assert refused.value.code == "config-value"
