"""Our chunker against libzck's: whatever the data and however it is fed, the same boundaries."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.native import chunker, zck
from ota.native.chunker import MAX_CHUNK, MIN_CHUNK, Chunker, byte_sum

pytestmark = pytest.mark.tool("zck")

WINDOW = 48


def ours(data: bytes | bytearray, sizes: Iterable[int] = (1 << 20,)) -> list[int]:
    """Chunk lengths of `data`, fed in pieces of `sizes`, over and over."""
    cutter = Chunker()
    lengths, view = [], memoryview(data)
    for size in itertools.cycle(sizes):
        lengths += cutter.feed(view[:size])
        view = view[size:]
        if not view:
            break
    last = cutter.finish()
    return [*lengths, last] if last else lengths


def libzck(data: bytes | bytearray) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        image, file = Path(folder, "image"), Path(folder, "image.zck")
        image.write_bytes(data)
        subprocess.run(["zck", "-u", "--compression-format=none", "-o", file, image], check=True)
        return [chunk.length for chunk in zck.chunks(file.read_bytes())]


def find_triggers() -> list[bytes]:
    """Windows that match: the 48 bytes that end with the first byte of a chunk."""
    data = random.Random(1).randbytes(6 << 20)
    ends = itertools.accumulate(length for length in ours(data)[:-1])
    found = [data[end - WINDOW + 1 : end + 1] for end in ends]
    return [trigger for trigger in found if fires(trigger)]


def fires(trigger: bytes) -> bool:
    """Whether it cuts; chunks that reached their largest length end in something else."""
    return ours(bytes(10000) + trigger + bytes(10000))[0] == 10000 + WINDOW - 1


TRIGGERS = find_triggers()

TEXT = "".join(f"{number}: the quick brown fox, {number * number}\n" for number in range(40000)).encode()
NOISE = random.Random(2).randbytes(700_000)
DENSE = b"".join(random.Random(3).choices(TRIGGERS, k=80_000))  # a match every 48 bytes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        bytes(47),
        NOISE,
        bytes(600_000),
        b"\xff" * 300_000,
        TEXT,
        TEXT + bytes(200_000) + NOISE,
        DENSE,
    ],
    ids=["empty", "byte", "less than a window", "noise", "zero", "ones", "text", "mixed", "dense"],
)
def test_chunks_are_libzcks(data: bytes) -> None:
    assert ours(data) == libzck(data)


def test_chunks_of_an_ext4_image_are_libzcks(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run([tool("mkfs.ext4"), "-q", "-d", Path(os.__file__).parent / "email", image], check=True)
    assert ours(image.read_bytes()) == libzck(image.read_bytes())


@pytest.mark.parametrize("sizes", [(1,), (47,), (48,), (49,), (8191,), (1, 8192, 47, 131072, 96)], ids=str)
def test_chunks_do_not_depend_on_how_the_data_is_fed(sizes: tuple[int, ...]) -> None:
    data = TEXT[:200_000] + DENSE[:100_000] + bytes(200_000) + NOISE[:200_000]
    assert ours(data, sizes) == ours(data) == libzck(data)


def test_memoryviews_and_bytearrays_are_fed_like_bytes() -> None:
    cutter = Chunker()
    fed = cutter.feed(bytearray(NOISE[:99_999])) + cutter.feed(memoryview(NOISE)[99_999:])
    assert [*fed, cutter.finish()] == ours(NOISE)


def test_a_finished_chunker_is_as_new() -> None:
    cutter = Chunker()
    cutter.feed(NOISE[:5000])
    assert cutter.finish() == 5000
    assert [*cutter.feed(NOISE), cutter.finish()] == ours(NOISE)
    assert cutter.finish() == 0


@pytest.mark.parametrize(
    ("at", "first"),
    [
        (MIN_CHUNK - 1, None),
        (MIN_CHUNK, MIN_CHUNK),
        (MIN_CHUNK + 1, MIN_CHUNK + 1),
        (MAX_CHUNK - 1, MAX_CHUNK - 1),
        (MAX_CHUNK, MAX_CHUNK),
        (MAX_CHUNK + 1, MAX_CHUNK),
    ],
)
def test_a_match_cuts_before_its_byte_between_the_smallest_and_the_largest_chunk(
    at: int, first: int | None
) -> None:
    for trigger in TRIGGERS[:20]:
        data = bytes(at - WINDOW + 1) + trigger + bytes(2 * MAX_CHUNK)
        lengths = ours(data)
        assert lengths == libzck(data)
        if first is not None:
            assert lengths[0] == first
        else:
            assert lengths[0] > MIN_CHUNK


@pytest.mark.parametrize("byte", range(256))
def test_a_run_of_one_byte_is_cut_at_the_largest_chunk_only(byte: int) -> None:
    # If any did match, feeding it again below the smallest chunk would never end.
    assert ours(bytes([byte]) * (MAX_CHUNK + 1)) == [MAX_CHUNK, 1]


def test_a_cut_empties_the_window() -> None:
    # Windows that differ agree again after 48 bytes, unless a match comes first and has its byte fed twice.
    # So this data has a match every 40 bytes for a chunker that keeps its window over a cut, and only for it.
    source = Path(chunker.__file__).with_name("chunker.c").read_text()
    table = [int(word, 16) for word in re.findall(r"X\((0x[0-9a-f]{8})\)", source)]
    byte_of = {word & 0x7FFF: byte for byte, word in enumerate(table)}
    noise = random.Random(4)
    data = bytearray(bytes(10_000) + TRIGGERS[0])
    window = [*TRIGGERS[0][1:], data[-1]]  # as after a cut that did nothing but feed its byte again

    def rotated(word: int, bits: int) -> int:
        return word << bits % 32 | word >> -bits % 32

    def after(*fed: int) -> int:
        """The hash's low 15 bits after more bytes."""
        last = enumerate([*window, *fed][-WINDOW:], start=1)
        return reduce(xor, (rotated(table[byte], WINDOW - at) for at, byte in last)) & 0x7FFF

    while len(data) < 19_000:
        piece = [*noise.randbytes(39)]
        missing = after(*piece, 0) ^ table[0] & 0x7FFF
        if missing in byte_of and all(after(*piece[:size]) for size in range(1, 40)):
            data += bytes([*piece, byte_of[missing]])
            window = [*window, *piece, byte_of[missing], byte_of[missing]][-WINDOW:]

    assert ours(data) == libzck(data)


def fillers(most: int) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda start, size, kind: bytes(size) if kind == 0 else (NOISE, TEXT)[kind - 1][start : start + size],
        st.integers(0, 100_000),
        st.integers(0, most),
        st.integers(0, 2),
    )


pieces = st.one_of(
    st.sampled_from(TRIGGERS),
    st.builds(bytes.__mul__, st.sampled_from(TRIGGERS), st.integers(1, 200)),
    st.builds(lambda trigger, cut: trigger[:cut], st.sampled_from(TRIGGERS), st.integers(1, WINDOW)),
    fillers(100),
    fillers(9000),
    st.integers(MIN_CHUNK - 2 * WINDOW, MIN_CHUNK + 2).map(bytes),
    st.integers(MAX_CHUNK - 2 * WINDOW, MAX_CHUNK + 2).map(bytes),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(pieces, max_size=40).map(b"".join),
    st.lists(st.integers(1, 20_000) | st.integers(1, 100), min_size=1, max_size=5),
)
def test_chunks_are_libzcks_for_data_full_of_matches(data: bytes, sizes: list[int]) -> None:
    expected = libzck(data)
    assert ours(data) == expected
    assert ours(data, [*sizes, 4096]) == expected


@given(st.binary(max_size=3000), st.integers(0, 2**32 - 1))
def test_the_byte_sum_is_the_sum_modulo_2_to_the_32(data: bytes, start: int) -> None:
    assert byte_sum(data, start) == (sum(data) + start) % 2**32
    assert byte_sum(memoryview(data)[1:]) == sum(data[1:])


def test_the_byte_sum_of_much_data_goes_on_where_it_stopped() -> None:
    data = b"\xff" * (17 << 20)  # more than 2**32 in all
    assert byte_sum(data) == 255 * len(data) % 2**32
    assert byte_sum(data[1000:], byte_sum(data[:1000])) == byte_sum(data)
