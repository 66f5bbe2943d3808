"""The executor: what is written was proved, what is wrong is fetched, what is bad for good is an error."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.errors import DeviceError, NetworkError, OtaError, TrustError
from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import Range
from ota.sync import plan as planning
from ota.sync.execute import MAX_ROUNDS, Sync, damaged
from ota.sync.plan import Action, Plan

CHUNKS = [random.Random(n).randbytes(1000 + 37 * n) for n in range(12)] + [bytes(60)]
IMAGE = b"".join(CHUNKS)


@dataclass
class Memory:
    """A BlockTarget in memory; `sync` and what was written are counted."""

    data: bytearray
    broken: Range | None = None  # where reading fails
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    synced_after: int = -1

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        if self.broken and offset < self.broken.stop and offset + length > self.broken.start:
            raise DeviceError("slot-unreadable", "bad block")
        return bytes(self.data[offset : offset + length])

    def scan(self, start: int, stop: int) -> Iterator[memoryview]:
        for offset in range(start, stop, 777):
            yield memoryview(self.read_at(offset, min(777, stop - offset)))

    def write_at(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data
        self.writes.append((offset, data))

    def zero(self, offset: int, length: int) -> None:
        self.write_at(offset, bytes(length))

    def flush(self) -> None:
        pass

    def sync(self) -> None:
        self.synced_after = len(self.writes)


@dataclass
class Published:
    """A RangeSource over a .zck in memory, in pieces of any size and order; it can lie a number of times."""

    file: bytes
    piece: int = 700
    backwards: bool = False
    lies: int = 0
    asked: list[Range] = field(default_factory=list)

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
        self.asked += ranges
        pieces = [
            (offset, self.file[offset : min(offset + self.piece, part.stop)])
            for part in ranges
            for offset in range(part.start, part.stop, self.piece)
        ]
        for offset, data in reversed(pieces) if self.backwards else pieces:
            if self.lies:
                self.lies -= 1
                yield offset, bytes([data[0] ^ 1]) + data[1:]
            else:
                yield offset, data


def header_of(chunks: Sequence[bytes]) -> Header:
    return zchunk.parse_manifest(zchunk.render((hashlib.sha256(c).digest(), len(c)) for c in chunks))


HEADER = header_of(CHUNKS)


def published(**how: object) -> Published:
    return Published(HEADER.data + IMAGE, **how)  # type: ignore[arg-type]  # the fields above


def plan_from(seed: Sequence[bytes], held: Sequence[bytes] = ()) -> Plan:
    return planning.make(HEADER, planning.held_by(header_of(held)), [header_of(seed)])


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
    target = Memory(bytearray(b"".join(CHUNKS[:2]).ljust(len(IMAGE), b"\xff")))
    plan = plan_from(SEED, held=CHUNKS[:2])
    assert all(plan.bytes_of(action) for action in Action)
    make_it_so(plan, target, Memory(bytearray(b"".join(SEED))), published())
    assert target.data == IMAGE
    assert target.synced_after == len(target.writes)
    assert min(offset for offset, _ in target.writes) == len(CHUNKS[0]) + len(CHUNKS[1])


@pytest.mark.parametrize("piece", [1, 999, 1000, 1_000_000])
@pytest.mark.parametrize("backwards", [False, True])
def test_pieces_may_come_in_any_size_and_order(piece: int, backwards: bool) -> None:
    target = Memory(bytearray(len(IMAGE)))
    make_it_so(plan_from([]), target, Memory(bytearray()), published(piece=piece, backwards=backwards))
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


def test_a_server_that_always_lies_is_given_up_before_anything_is_written() -> None:
    source = published(lies=1_000_000)
    with pytest.raises(TrustError) as caught:
        Sync(plan_from(SEED), source, lambda event: None).check()
    assert caught.value.code == "digest-mismatch"
    assert len(source.asked) <= MAX_ROUNDS * 12


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
