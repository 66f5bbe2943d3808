"""A look at a slot: what is left of it, and whether it was ever written."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.sync import survey
from ota.sync.survey import NOTHING, Piece
from ota.tests.media import Memory, header_of

IMAGE = random.Random(1).randbytes(500_000)


def cut(image: bytes, *places: int) -> list[bytes]:
    return [image[start:stop] for start, stop in zip((0, *places), (*places, len(image)), strict=True)]


def places(pieces: Iterable[Piece]) -> list[tuple[int, int]]:
    return [(piece.offset, piece.stop) for piece in pieces]


def test_chunks_of_several_manifests_are_proved_in_one_read() -> None:
    class Once(Memory):
        scans = 0

        def scan(self, start: int, stop: int):  # type: ignore[no-untyped-def]  # as in Memory
            self.scans += 1
            return super().scan(start, stop)

    target = Once(bytearray(IMAGE))
    target.data[250_000] ^= 1
    one, two = header_of(cut(IMAGE, 100_000, 300_000)), header_of(cut(IMAGE, 100_000, 200_000))
    found = survey.prove([one, two], target, lambda event: None)
    assert places(found) == [(0, 100_000), (100_000, 200_000), (300_000, 500_000)]
    assert target.scans == 1


def test_what_lies_beyond_the_target_is_not_there() -> None:
    found = survey.prove([header_of(cut(IMAGE, 400_000))], Memory(bytearray(IMAGE[:450_000])), print)
    assert places(found) == [(0, 400_000)]


def test_a_tiling_names_what_is_there_and_matches_nothing_else() -> None:
    target = Memory(bytearray(IMAGE))
    target.data[:3] = b"rot"
    chunks = cut(IMAGE, 1000, 200_000, 300_000)
    found = survey.prove([header_of(chunks)], target, lambda event: None)
    tiles = survey.tiling(found)
    assert [tiles.offset(number) for number in range(len(tiles) + 1)] == [0, 1000, 200_000, 300_000, 500_000]
    assert tiles.digest(0) == NOTHING
    assert list(survey.prove([tiles], target, lambda event: None)) == list(found)


def test_a_gap_is_as_long_as_it_is() -> None:
    """Longer than a chunk may be."""
    tiles = survey.tiling([Piece(200 << 20, 10, b"x" * 32)])
    assert (tiles.offset(len(tiles) - 1), tiles.image_size) == (200 << 20, (200 << 20) + 10)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9))))
def test_a_tiling_has_one_of_the_chunks_that_overlap(rows: list[tuple[int, int]]) -> None:
    pieces = sorted(Piece(offset, length, bytes([length]) * 32) for offset, length in rows)
    tiles = survey.tiling(pieces)
    there = {(chunk.offset, chunk.length, chunk.digest) for chunk in tiles if chunk.digest != NOTHING}
    assert there <= {(piece.offset, piece.length, piece.digest) for piece in pieces}
    covered = {byte for offset, length, _ in there for byte in range(offset, offset + length)}
    assert all(covered & set(range(piece.offset, piece.stop)) for piece in pieces)


@pytest.mark.parametrize("size", [0, 1, 4096, 5_000_001])
@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_what_was_never_written_is_blank(size: int, value: int) -> None:
    assert survey.is_blank(Memory(bytearray([value]) * size))


@pytest.mark.parametrize("place", [0, 1024, 4_999_999])
def test_what_was_written_is_not(place: int) -> None:
    target = Memory(bytearray(5_000_000))
    target.data[place] = 1
    assert not survey.is_blank(target)


def test_one_value_that_no_erased_medium_has_is_content() -> None:
    assert not survey.is_blank(Memory(bytearray(b"\x55") * 5000))
    assert not survey.is_blank(Memory(bytearray(5000) + bytearray(b"\xff") * 5_000_000))
