"""The executor: what is written was proved, what is wrong is fetched, what is bad for good is an error."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.errors import DeviceError, NetworkError, OtaError, TrustError
from ota.interfaces import Range
from ota.sync import plan as planning
from ota.sync.download import MAX_ROUNDS, MAX_WRONG
from ota.sync.execute import MAX_UNSYNCED, Sync, damaged
from ota.sync.plan import Action, Held, Plan
from ota.tests.media import Memory, Published, file_of, header_of

CHUNKS = [random.Random(n).randbytes(1000 + 37 * n) for n in range(12)] + [bytes(60)]
IMAGE = b"".join(CHUNKS)


HEADER = header_of(CHUNKS)


def published(**how: object) -> Published:
    return Published(file_of(CHUNKS), **how)  # type: ignore[arg-type]  # the fields above


def plan_from(seed: Sequence[bytes], held: Sequence[bytes] = ()) -> Plan:
    return planning.make(HEADER, Held(planning.held_by(header_of(held))), [header_of(seed)])


def make_it_so(plan: Plan, target: Memory, seed: Memory, source: Published) -> None:
    sync = Sync(plan, source, lambda event: None)
    sync.check()
    sync.run(target, [seed])


SEED = CHUNKS[3:9]


def test_check_writes_nothing_and_proves_the_servers_first_chunk() -> None:
    source = published()
    Sync(plan_from(SEED), source, lambda event: None).check()
    assert source.asked


def test_kept_copied_zeroed_and_fetched_chunks_make_the_image() -> None:
    target = Memory(bytearray(b"".join(CHUNKS[:2]).ljust(len(IMAGE), b"\xff")), in_order=True)
    plan = plan_from(SEED, held=CHUNKS[:2])
    assert all(plan.bytes_of(action) for action in Action)
    make_it_so(plan, target, Memory(bytearray(b"".join(SEED))), published())
    assert target.data == IMAGE
    assert not target.unsynced
    assert target.zeroed == [Range(len(IMAGE) - 60, len(IMAGE))]
    assert min(offset for offset, _ in target.writes) == len(CHUNKS[0]) + len(CHUNKS[1])


@pytest.mark.parametrize("piece", [1, 999, 1000, 1_000_000])
@pytest.mark.parametrize("shuffled", [False, True])
def test_pieces_may_come_in_any_size_and_order_and_are_written_in_order(piece: int, shuffled: bool) -> None:
    target = Memory(bytearray(len(IMAGE)), in_order=True)
    source = published(piece=piece, chance=random.Random(2) if shuffled else None)
    make_it_so(plan_from([]), target, Memory(bytearray()), source)
    assert target.data == IMAGE


def test_a_drifted_seed_costs_only_the_chunks_hit() -> None:
    seed = Memory(bytearray(b"".join(SEED)))
    seed.data[10] ^= 1
    source, target = published(), Memory(bytearray(len(IMAGE)))
    make_it_so(plan_from(SEED), target, seed, source)
    assert target.data == IMAGE
    asked = sum(len(part) for part in source.asked)
    assert asked == len(IMAGE) - sum(map(len, SEED)) - len(CHUNKS[12]) + len(SEED[0])


def test_what_was_thought_to_be_in_place_and_is_not_is_mended() -> None:
    target = Memory(bytearray(IMAGE))
    target.data[5] ^= 1
    source = published()
    make_it_so(plan_from([], held=CHUNKS), target, Memory(bytearray()), source)
    assert target.data == IMAGE
    assert source.asked == [Range(len(HEADER.data), len(HEADER.data) + len(CHUNKS[0]))]


def test_a_seed_that_cannot_be_read_is_fetched() -> None:
    seed = Memory(bytearray(b"".join(SEED)), broken=Range(0, 10))
    target = Memory(bytearray(len(IMAGE)))
    make_it_so(plan_from(SEED), target, seed, published())
    assert target.data == IMAGE


def test_nothing_wrong_is_ever_written() -> None:
    seed = Memory(bytearray(b"".join(SEED)))
    seed.data[100] ^= 1
    target = Memory(bytearray(len(IMAGE)))
    make_it_so(plan_from(SEED), target, seed, published(lies=3))
    assert all(IMAGE[offset : offset + len(data)] == data for offset, data in target.writes)


def test_a_server_that_lies_once_is_asked_again_and_only_for_that() -> None:
    source, target = published(lies=1, piece=1_000_000), Memory(bytearray(len(IMAGE)))
    make_it_so(plan_from([]), target, Memory(bytearray()), source)
    assert target.data == IMAGE
    assert sum(len(part) for part in source.asked) == len(IMAGE) - len(CHUNKS[12]) + len(CHUNKS[0])


@pytest.mark.parametrize("chunks", [1, MAX_WRONG - 1, MAX_WRONG, 40])
def test_another_file_is_refused_at_once_before_anything_is_written(chunks: int) -> None:
    image = [random.Random(n).randbytes(1000) for n in range(chunks)]
    source = Published(bytes(len(file_of(image))), piece=1000, ahead=1000)
    with pytest.raises(TrustError) as caught:
        Sync(planning.make(header_of(image), Held([]), []), source, lambda event: None).check()
    assert caught.value.code == "digest-mismatch"
    assert source.received <= min(MAX_WRONG, MAX_ROUNDS * chunks) * 1000


def test_a_file_that_turns_into_another_one_is_given_up_after_a_few_more_chunks() -> None:
    image = [random.Random(n).randbytes(1000) for n in range(100)]
    file = file_of(image)
    source = Published(file[:-50_000] + bytes(50_000), piece=1000, ahead=1000)
    target = Memory(bytearray(100_000), in_order=True)
    with pytest.raises(TrustError) as caught:
        make_it_so(planning.make(header_of(image), Held([]), []), target, Memory(bytearray()), source)
    assert caught.value.code == "digest-mismatch"
    assert source.received == 100_000 + MAX_WRONG * 1000


@pytest.mark.parametrize("place", [0, 1, 6, 39])
@pytest.mark.parametrize("times", [1, 2])
def test_one_wrong_byte_costs_that_chunk_again(place: int, times: int) -> None:
    class Flips(Published):
        def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
            nonlocal times
            for offset, data in super().fetch(ranges):
                flip = offset == len(HEADER_40.data) + place * 1000 and times > 0
                times -= flip
                yield offset, data[:-1] + bytes([data[-1] ^ flip])

    image = [random.Random(n).randbytes(1000) for n in range(40)]
    HEADER_40 = header_of(image)  # noqa: N806
    lies = times
    source, target = Flips(file_of(image), piece=1000), Memory(bytearray(40_000))
    make_it_so(planning.make(HEADER_40, Held([]), []), target, Memory(bytearray()), source)
    assert target.data == b"".join(image)
    assert source.received == 40_000 + lies * 1000


def test_a_single_missing_chunk_is_asked_for_again_before_anything_is_written() -> None:
    source, target = published(lies=2, piece=1_000_000), Memory(bytearray(IMAGE), in_order=True)
    held = [chunk for chunk in planning.held_by(HEADER) if chunk[0] != HEADER.offset(3)]
    make_it_so(planning.make(HEADER, Held(held), []), target, Memory(bytearray()), source)
    assert source.received == 3 * len(CHUNKS[3])


def test_what_was_fetched_is_made_durable_before_much_more_is_written() -> None:
    class Watched(Memory):
        def write_at(self, offset: int, data: bytes) -> None:
            super().write_at(offset, data)
            assert sum(len(data) for _, data in self.unsynced) <= MAX_UNSYNCED

    image = [random.Random(n).randbytes(50_000) for n in range(100)]
    target = Watched(bytearray(5_000_000))
    make_it_so(
        planning.make(header_of(image), Held([]), []), target, Memory(bytearray()), Published(file_of(image))
    )
    assert target.data == b"".join(image)


def test_a_seed_that_is_gone_is_fetched() -> None:
    target, source = Memory(bytearray(len(IMAGE))), published()
    sync = Sync(plan_from(SEED), source, lambda event: None)
    sync.check()
    sync.run(target, [None])
    assert target.data == IMAGE


def test_without_a_server_missing_chunks_are_an_error() -> None:
    with pytest.raises(NetworkError):
        Sync(plan_from(SEED), None, lambda event: None).check()


def test_a_medium_that_does_not_keep_what_is_written_is_an_error() -> None:
    class Worn(Memory):
        def read_at(self, offset: int, length: int) -> bytes:
            return bytes([super().read_at(offset, length)[0] ^ 1]) + super().read_at(offset, length)[1:]

    with pytest.raises(DeviceError) as caught:
        make_it_so(plan_from([]), Worn(bytearray(len(IMAGE))), Memory(bytearray()), published())
    assert caught.value.code == "slot-damaged"


@settings(max_examples=50, deadline=None)
@given(
    st.sets(st.integers(0, len(IMAGE) - 1), max_size=5),
    st.sets(st.integers(0, len(b"".join(SEED)) - 1), max_size=5),
)
def test_any_damage_to_seed_and_target_is_survived(in_target: set[int], in_seed: set[int]) -> None:
    target, seed = Memory(bytearray(IMAGE)), Memory(bytearray(b"".join(SEED)))
    for place in in_target:
        target.data[place] ^= 0xFF
    for place in in_seed:
        seed.data[place] ^= 0xFF
    make_it_so(plan_from(SEED, held=CHUNKS[:5]), target, seed, published())
    assert target.data == IMAGE


def test_damage_is_named_by_chunk() -> None:
    target = Memory(bytearray(IMAGE))
    target.data[len(CHUNKS[0])] ^= 1
    target.data[-1] ^= 1
    assert damaged(HEADER, target, lambda event: None) == [1, 12]


def test_an_error_of_the_source_passes_through() -> None:
    class Gone(Published):
        def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
            raise NetworkError("connect", "gone")

    with pytest.raises(OtaError, match="gone"):
        Sync(plan_from([]), Gone(b""), lambda event: None).check()
