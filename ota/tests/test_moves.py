"""What a target holds already is moved within it, front to back; plan and execution agree to the byte."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.interfaces import Cost
from ota.sync import execute
from ota.sync import plan as planning
from ota.sync.plan import Action, Held, Plan
from ota.tests.media import Memory, Published, file_of, header_of

# What a chunk may be; 0 is zeros. With these lengths the real bounds bind within a few chunks.
WORDS = [bytes(60)] + [random.Random(n).randbytes(50_000 + 40_000 * (n % 7)) for n in range(1, 16)]
CHUNKS = st.lists(st.integers(0, len(WORDS) - 1), max_size=25)


class _Watched(execute._Saves):
    """Complains where more is in memory than may be."""

    def read_before(self, stop: int) -> None:
        super().read_before(stop)
        assert self._size == sum(map(len, self._data.values())) <= planning.MAX_SAVED


@pytest.fixture(autouse=True, scope="module")
def watched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "_Saves", _Watched)
        yield


@dataclass(frozen=True)
class Outcome:
    plan: Plan
    cost: Cost
    source: Published
    foreseen: tuple[int, int]
    target: Memory


def move(
    old: Sequence[bytes], new: Sequence[bytes], *seeds: Sequence[bytes], chance: random.Random | None = None
) -> Outcome:
    """Make a target that holds `old` hold `new`."""
    size = max(sum(map(len, old)), sum(map(len, new)))
    target = Memory(bytearray(b"".join(old).ljust(size, b"\xee")), in_order=True)
    header = header_of(new)
    plan = planning.make(header, Held(planning.held_by(header_of(old))), [header_of(seed) for seed in seeds])
    source = Published(file_of(new), piece=10_000, chance=chance)
    sync = execute.Sync(plan, source, lambda event: None)
    sync.check()
    cost = sync.run(target, [Memory(bytearray(b"".join(seed))) for seed in seeds])
    image = b"".join(new)
    assert target.data[: len(image)] == image
    foreseen = source.foresee(planning.ranges(header, plan.numbers(Action.FETCH)))
    return Outcome(plan, cost, source, foreseen, target)


def numbered(count: int, size: int = 40_000) -> list[bytes]:
    return [random.Random(n).randbytes(size + n) for n in range(count)]


def test_content_that_moves_to_the_front_is_not_fetched() -> None:
    old = numbered(60)
    assert move(old, old[7:]).source.received == 0


@pytest.mark.parametrize("count", [1, 60])
def test_an_image_that_shifts_by_a_few_hundred_bytes_is_not_fetched(count: int) -> None:
    """Each chunk lies partly where the one before it goes."""
    old = numbered(count)
    moved = move(old, [*[bytes(60)] * 5, *old])
    assert moved.source.received == 0
    assert moved.cost.copied_bytes == sum(map(len, old))


def test_what_shifts_further_than_can_be_saved_is_fetched_in_part() -> None:
    old = numbered(60)
    new = [random.Random(99).randbytes(1_500_000), *old]
    received = move(old, new).source.received
    assert len(new[0]) < received < sum(map(len, new))


def test_a_far_move_does_not_keep_out_near_ones() -> None:
    """The first chunks go to the very end; all others are pushed on by a few bytes."""
    old = numbered(60)
    far, near = old[:20], old[20:]
    fill = random.Random(99).randbytes(sum(map(len, far)) + 300)
    moved = move(old, [fill, *near, *far])
    fetched = moved.plan.numbers(Action.FETCH)
    assert fetched[0] == 0
    assert min(fetched[1:]) > len(near)


def test_two_halves_change_places() -> None:
    old = numbered(40, 15_000)
    assert move(old, old[20:] + old[:20]).source.received == 0


def test_equal_chunks_are_fetched_once_and_written_in_order() -> None:
    one, two = numbered(2)
    moved = move([], [one, two, one, one, two])
    assert moved.source.received == len(one) + len(two)
    assert moved.cost.copied_bytes == 2 * len(one) + len(two)


def test_a_run_of_zeros_is_one_call() -> None:
    chunks = [WORDS[1], *[WORDS[0]] * 100, WORDS[2], WORDS[0]]
    assert len(move([], chunks).target.zeroed) == 2


def test_old_content_that_is_not_what_was_thought_is_fetched() -> None:
    old = numbered(40)
    header = header_of([bytes(60), *old])
    plan = planning.make(header, Held(planning.held_by(header_of(old))), [])
    target = Memory(bytearray(b"".join(old) + bytes(60)))
    target.data[100_000] ^= 1
    source = Published(header.data + bytes(60) + b"".join(old))
    sync = execute.Sync(plan, source, lambda event: None)
    sync.check()
    sync.run(target, [])
    image = bytes(60) + b"".join(old)
    assert target.data == image
    assert all(image[offset : offset + len(data)] == data for offset, data in target.writes)
    assert source.received == len(old[2])


@settings(max_examples=150, deadline=None)
@given(CHUNKS, CHUNKS, st.lists(CHUNKS, max_size=2), st.randoms(use_true_random=False))
def test_whatever_moves_where_plan_and_execution_agree(
    old: list[int], new: list[int], seeds: list[list[int]], chance: random.Random
) -> None:
    def words(numbers: list[int]) -> list[bytes]:
        return [WORDS[number] for number in numbers]

    moved = move(words(old), words(new), *map(words, seeds), chance=chance)
    assert (moved.source.received, moved.source.requests) == moved.foreseen
    size = moved.plan.header.image_size
    assert moved.cost.written_bytes == size - moved.cost.kept_bytes
    assert (
        moved.cost.kept_bytes
        + moved.cost.zero_bytes
        + moved.cost.copied_bytes
        + moved.plan.bytes_of(Action.FETCH)
        == size
    )


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(1, 16)), st.integers(0, 15), st.binary(max_size=9))
def test_an_image_whose_chunks_are_shuffled_comes_out_right(order: list[int], cut: int, head: bytes) -> None:
    old = [WORDS[number] for number in range(1, 16)]
    new = ([head] if head else []) + [WORDS[number] for number in order]
    moved = move(old, new, [WORDS[number] for number in order[:cut]])
    assert (moved.source.received, moved.source.requests) == moved.foreseen
