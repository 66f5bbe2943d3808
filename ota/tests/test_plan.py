"""The planner: every chunk comes to be in the cheapest way that the manifests allow."""

from __future__ import annotations

import hashlib
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import Range
from ota.sync import plan as planning
from ota.sync.plan import OWN, SAVED, Action, Held, Save

Contents = list[tuple[int, int]]  # (what, length) of each chunk
CONTENTS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), max_size=30)


def header_of(contents: Contents) -> Header:
    """A manifest; equal numbers are equal chunks, number 0 is zeros."""
    rows = [(hashlib.sha256(bytes([what]) * length).digest(), length) for what, length in contents]
    return zchunk.parse_manifest(zchunk.render(rows))


def actions(header: Header, held: Contents, seeds: list[Contents]) -> list[Action]:
    manifests = [header_of(seed) for seed in seeds]
    made = planning.make(header, Held(planning.held_by(header_of(held))), manifests)
    return [step.action for step in made.steps for _ in range(step.first, step.stop)]


def test_what_is_in_place_is_kept() -> None:
    assert actions(header_of([(1, 3), (2, 2)]), [(1, 3), (2, 2)], []) == [Action.KEEP, Action.KEEP]


def test_what_lies_elsewhere_in_the_target_is_copied_while_it_is_there() -> None:
    header = header_of([(1, 3), (2, 2)])
    made = planning.make(header, Held(planning.held_by(header_of([(3, 2), (2, 2), (1, 3)]))), [])
    assert [(step.action, step.seed, step.offset) for step in made.steps] == [
        (Action.COPY, OWN, 4),
        (Action.COPY, SAVED, 2),  # the first chunk is written over it
    ]
    assert made.saves == (Save(2, number=1, due=0),)


def test_seeds_are_preferred_to_what_the_target_holds_elsewhere() -> None:
    made = planning.make(
        header_of([(1, 3)]), Held([(1, header_of([(1, 3)]).digest(0))]), [header_of([(1, 3)])]
    )
    assert made.steps[0].seed == 0


def test_what_is_kept_can_be_copied_at_any_time() -> None:
    header = header_of([(1, 3), (2, 2), (1, 3)])
    made = planning.make(header, Held(planning.held_by(header_of([(1, 3)]))), [])
    assert [(step.action, step.seed, step.offset) for step in made.steps][2] == (Action.COPY, OWN, 0)
    assert not made.saves


def test_equal_chunks_are_fetched_once_and_then_copied() -> None:
    header = header_of([(1, 3), (2, 2), (1, 3), (1, 3)])
    made = planning.make(header, Held([]), [])
    assert made.numbers(Action.FETCH) == [0, 1]
    assert [(step.seed, step.offset) for step in made.steps if step.action is Action.COPY] == [
        (OWN, 0),
        (OWN, 0),
    ]


def test_too_much_to_save_is_fetched_and_what_is_needed_soon_is_saved_first() -> None:
    """There is room for two. Number 8 goes to the end and would be held long; the others go on a little."""
    large = planning.MAX_SAVED // 3 + 1
    header = header_of([(9, large + 10), (1, large), (2, large), (3, large), (8, large)])
    held = header_of([(8, large), (1, large), (2, large), (3, large)])
    made = planning.make(header, Held(planning.held_by(held)), [])
    assert made.numbers(Action.FETCH) == [0, 4]
    far = planning.make(
        header_of([(9, large), (1, large)]), Held(planning.held_by(header_of([(1, large)]))), []
    )
    assert far.numbers(Action.FETCH) == [0]


def test_what_a_seed_has_is_copied_from_the_first_that_has_it() -> None:
    header = header_of([(1, 3), (2, 2)])
    made = planning.make(header, Held([]), [header_of([(5, 1), (2, 2)]), header_of([(1, 3), (2, 2)])])
    assert [(step.action, step.seed, step.offset) for step in made.steps] == [
        (Action.COPY, 1, 0),
        (Action.COPY, 0, 1),
    ]


def test_neighbours_that_are_neighbours_in_the_seed_are_one_step() -> None:
    header = header_of([(1, 3), (2, 2), (3, 1)])
    made = planning.make(header, Held([]), [header_of([(9, 4), (1, 3), (2, 2), (3, 1)])])
    assert len(made.steps) == 1
    assert made.steps[0].offset == 4


def test_zeros_are_neither_copied_nor_fetched() -> None:
    assert actions(header_of([(0, 4)]), [], [[(0, 4)]]) == [Action.ZERO]


def test_equal_chunks_are_mended_by_one_fetch() -> None:
    header = header_of([(1, 3), (2, 2), (1, 3)])
    assert planning.downloads(header, [0, 1, 2]) == {0: (0, 2), 1: (1,)}


def test_neighbouring_chunks_are_one_range() -> None:
    header = header_of([(1, 3), (2, 2), (3, 1), (4, 4)])
    start = len(header.data)
    assert planning.ranges(header, [0, 1, 3]) == [Range(start, start + 5), Range(start + 6, start + 10)]


@given(CONTENTS, CONTENTS, st.lists(CONTENTS, max_size=2))
def test_a_plan_covers_every_chunk_once_and_adds_up(
    wanted: Contents, held: Contents, seeds: list[Contents]
) -> None:
    header = header_of(wanted)
    manifests = [header_of(seed) for seed in seeds]
    made = planning.make(header, Held(planning.held_by(header_of(held))), manifests)
    assert [n for step in made.steps for n in range(step.first, step.stop)] == list(range(len(wanted)))
    assert sum(map(made.bytes_of, Action)) == header.image_size
    at_offset = dict(planning.held_by(header_of(held)))
    for step in made.steps:
        for number in range(step.first, step.stop):
            chunk = header.chunk(number)
            if step.action is Action.KEEP:
                assert at_offset[chunk.offset] == chunk.digest
            elif step.action is Action.COPY and step.seed >= 0:
                where = step.offset + chunk.offset - header.offset(step.first)
                assert (where, chunk.digest) in set(planning.held_by(manifests[step.seed]))
            elif step.action is Action.FETCH:
                assert all(chunk.digest not in Counter(d for _, d in planning.held_by(m)) for m in manifests)


@given(st.lists(st.tuples(st.integers(1, 20), st.just(100 << 10)), max_size=60), st.randoms())
def test_never_more_is_saved_than_there_is_room_for(contents: Contents, chance: Random) -> None:
    header = header_of(contents)
    chance.shuffle(contents)
    made = planning.make(header, Held(planning.held_by(header_of(contents))), [])
    for number in range(len(header)):
        held = [save for save in made.saves if save.due <= number <= save.number]
        assert sum(planning.length(header, save.number) for save in held) <= planning.MAX_SAVED
    assert [save.due for save in made.saves] == sorted(save.due for save in made.saves)
    assert made.memory <= planning.BLOCK + planning.MAX_SAVED + planning.MAX_EARLY + 2 * (100 << 10)


def test_a_plan_does_not_grow_with_the_image_where_all_is_alike() -> None:
    header = header_of([(7, 3)] * 1000)
    made = planning.make(header, Held(planning.held_by(header)), [])
    assert len(made.steps) == 1
