"""The walk through an rdiff delta, against librsync: what it lets through has the length that it foretold."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ota.errors import UpdateError
from ota.formats import rdiff
from ota.native import rsync

NOISE = Random(3)
BASE = NOISE.randbytes(200_000)
NEW = BASE[50_000:150_000] + NOISE.randbytes(30_000) + BASE[:70_000] + b"the end"
LIMIT = 1 << 30


@pytest.fixture(scope="module")
def delta() -> bytes:
    signature = b"".join(rsync.signature(io.BytesIO(BASE), block=512))
    return b"".join(rsync.delta(signature, io.BytesIO(NEW)))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "base"
    path.write_bytes(BASE)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


class Trickle:
    """A reader that gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, 3))


def walked(data: bytes, limit: int = LIMIT) -> int | str:
    try:
        return rdiff.result_size(io.BytesIO(data), len(BASE), limit)
    except UpdateError as error:
        return error.code


def patched(base: int, data: bytes) -> int | str:
    try:
        return len(b"".join(rsync.patch(base, len(BASE), io.BytesIO(data))))
    except UpdateError as error:
        return error.code


def test_the_length_of_the_result_is_foretold(delta: bytes) -> None:
    assert walked(delta) == len(NEW)
    assert rdiff.result_size(Trickle(delta), len(BASE), LIMIT) == len(NEW)


def test_a_delta_is_not_read_on_behind_the_limit(delta: bytes) -> None:
    size = walked(delta, 100)
    assert isinstance(size, int) and size > 100
    assert walked(delta, len(NEW)) == len(NEW)


def test_every_shortened_delta_is_refused(delta: bytes) -> None:
    for size in (*range(30), len(delta) // 2, len(delta) - 2, len(delta) - 1):
        assert walked(delta[:size]) == "delta-format"


def test_something_behind_the_end_is_refused(delta: bytes) -> None:
    assert walked(delta + b"\0") == "delta-format"


def test_damage_shows_before_librsync_writes_anything_or_librsync_makes_what_was_foretold(
    delta: bytes, base: int
) -> None:
    noise = Random(4)
    refused = 0
    for _ in range(600):
        damaged = bytearray(delta)
        # Most of a delta is literals; commands stand in front, between them and at the end.
        for _ in range(noise.randint(1, 3)):
            place = noise.choice([noise.randrange(40), noise.randrange(len(delta)), -noise.randrange(1, 40)])
            damaged[place] = noise.randrange(256)
        found = walked(bytes(damaged))
        if isinstance(found, str):
            refused += 1
            assert isinstance(patched(base, bytes(damaged)), str)
        else:
            assert patched(base, bytes(damaged)) == found
    assert refused > 30
