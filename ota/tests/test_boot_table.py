"""The state table, explored to the end: every event in every state that can be reached, a power cut anywhere.

A device is modelled by what its environment says, what its slots hold and which of them runs. The boot
loader's part is the table itself; packager/tests/test_bootscript.py proves that its scripts do the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import pytest

from ota.board import Board, load
from ota.boot import state, table
from ota.boot.table import RECOVERY_STATUS, TABLE, TRIES, USTATE, Action, Event, Row, UpdateState
from ota.errors import DeviceError

LIMIT = 3
BOARD = replace(load("demo", Path()), tries=LIMIT)


class Content(Enum):
    """What a slot holds."""

    GOOD = "a system that works"
    PANICS = "one that is loaded, and never reaches the agent"
    ILL = "one that starts, and whose health check fails"
    HALF = "nothing whole"


@dataclass(frozen=True, slots=True)
class World:
    """A device at one moment."""

    variables: tuple[tuple[str, str], ...]
    slots: tuple[Content, Content]
    running: int | None  # None: it is dead until it is started again

    def read(self) -> dict[str, str]:
        return dict(self.variables)

    def get(self, name: str) -> str | None:
        return self.read().get(name)

    def apply(self, changes: Mapping[str, str | None]) -> None:
        raise AssertionError("the model's environment is a value")

    def stored(self, changes: Mapping[str, str | None]) -> World:
        now = {**self.read(), **changes}
        return replace(self, variables=tuple(sorted((k, v) for k, v in now.items() if v is not None)))

    def holding(self, slot: int, content: Content) -> World:
        slots = (content, self.slots[1]) if slot == 0 else (self.slots[0], content)
        return replace(self, slots=slots)


FACTORY = World((("boot_slot", "a"),), (Content.GOOD, Content.HALF), None)


def starts(world: World, rows: tuple[Row, ...] = TABLE) -> Iterator[World]:
    """Power on: the boot loader's turn, with a medium that takes its store and one that does not."""
    situation = state.read(world, BOARD, BOARD.slots[0])
    named = BOARD.slots.index(situation.named or BOARD.slots[0])
    tries_left = situation.tries < LIMIT
    row = table.find(Event.START, situation.state, named=True, tries_left=tries_left, table=rows)
    assert row is not None
    if not row.stores:
        yield boots(world, named)
        return
    yield boots(*after(row, world, named, situation))
    failed = table.find(Event.NOT_STORED, situation.state, named=True, tries_left=tries_left, table=rows)
    assert failed is not None and failed.action is Action.START_OTHER
    yield boots(world, 1 - named)


def after(row: Row, world: World, named: int, situation: state.Situation) -> tuple[World, int]:
    start = 1 - named if row.slot is table.Slot.OTHER else named
    changes: dict[str, str | None] = {**BOARD.slots[start].bootenv}
    if row.to is not None:
        changes[USTATE] = str(row.to)
    count = table.next_count(row.count, situation.tries)
    return world.stored(changes if count is None else {**changes, TRIES: count}), start


def boots(world: World, slot: int) -> World:
    """A kernel is loaded and the system comes up, or not."""
    if world.slots[slot] is Content.HALF:
        now = table.read_state(world.read())
        row = table.find(Event.NOT_LOADED, now, named=True, tries_left=True)
        assert row is not None
        if row.action is Action.START_OTHER and world.slots[1 - slot] is not Content.HALF:
            slot = 1 - slot
        else:
            return replace(world, running=None)
    return replace(world, running=None if world.slots[slot] is Content.PANICS else slot)


def happens(world: World, event: Event) -> World | None:
    """The agent's turn; None: refused."""
    assert world.running is not None
    try:
        step = state.step(state.read(world, BOARD, BOARD.slots[world.running]), event)
    except DeviceError as error:
        assert error.code == "boot-state"
        return None
    now = world.stored(step.changes)
    if step.action is Action.CHECK_HEALTH:
        good = world.slots[world.running] is Content.GOOD
        return happens(now, Event.CONFIRM if good else Event.ROLL_BACK)
    return replace(now, running=None) if step.action is Action.REBOOT else now


def successors(world: World) -> Iterator[World]:
    """All that can happen next; a power cut is always among it."""
    yield from starts(world)
    running = world.running
    if running is None:
        return
    idle = 1 - running
    if world.slots[idle] is Content.GOOD and table.read_state(world.read()) is UpdateState.OK:
        yield replace(world.holding(running, Content.HALF), running=None)  # the medium forgets
    events = [Event.BOOTED]
    if world.slots[running] is Content.GOOD:
        events.append(Event.CONFIRM)
    if world.slots[idle] is not Content.HALF:  # `ota rollback` looks after that
        events.append(Event.ROLL_BACK)
    yield from (now for event in events if (now := happens(world, event)) is not None)
    begun = happens(world, Event.BEGIN)
    if begun is not None:
        yield begun.holding(idle, Content.HALF)
    if table.read_state(world.read()) is UpdateState.IN_PROGRESS:
        failed = happens(world, Event.FAIL)
        assert failed is not None
        yield failed
        for content in (Content.GOOD, Content.PANICS, Content.ILL):
            if world.slots[idle] is Content.HALF:
                yield world.holding(idle, content)  # written and proved, not yet switched
        if world.slots[idle] is not Content.HALF:
            committed = happens(world, Event.COMMIT)
            assert committed is not None
            yield committed


def reachable() -> set[World]:
    found, waiting = {FACTORY}, [FACTORY]
    while waiting:
        for world in successors(waiting.pop()):
            if world not in found:
                found.add(world)
                waiting.append(world)
    return found


@pytest.fixture(scope="module")
def worlds() -> set[World]:
    return reachable()


def settle(world: World, starting: int) -> tuple[World, int]:
    """Switch on, let the agent do its part, again while it does not run; and how often that took."""
    for count in range(1, 20):
        world = list(starts(world))[0 if starting == 0 else -1]
        if world.running is not None:
            now = happens(world, Event.BOOTED)
            assert now is not None
            world = now
        if world.running is not None:
            return world, count
    raise AssertionError(f"never comes back: {world}")


def test_every_state_is_reached_and_every_rule_is_used(worlds: set[World]) -> None:
    reached = {table.read_state(world.read()) for world in worlds}
    assert reached == {
        UpdateState.OK,
        UpdateState.INSTALLED,
        UpdateState.TESTING,
        UpdateState.FAILED,
        UpdateState.IN_PROGRESS,
    }
    assert len(worlds) > 100


def test_whatever_happens_a_device_comes_back_to_a_system_that_works(worlds: set[World]) -> None:
    for world in worlds:
        settled, count = settle(world, 0)
        assert settled.running is not None and settled.slots[settled.running] is Content.GOOD, world
        assert count <= LIMIT + 2, world


def test_it_comes_back_even_where_the_boot_loader_can_store_nothing(worlds: set[World]) -> None:
    for world in worlds:
        for now in starts(world):
            if now.running is not None:
                continue
            settled, _ = settle(world, 1)
            assert settled.running is not None and settled.slots[settled.running] is not Content.HALF, world


def test_what_has_settled_stays(worlds: set[World]) -> None:
    for world in worlds:
        settled, _ = settle(world, 0)
        again, count = settle(settled, 0)
        assert (again, count) == (settled, 1), world


def test_nothing_stays_on_trial(worlds: set[World]) -> None:
    for world in worlds:
        for starting in (0, 1):
            settled, _ = settle(world, starting)
            now = table.read_state(settled.read())
            assert now is not UpdateState.TESTING, world
            if now is UpdateState.INSTALLED:  # the boot loader could not store that it tries
                assert starting == 1, world


def test_what_was_rolled_back_is_not_tried_again() -> None:
    world = FACTORY.holding(1, Content.ILL).stored({"boot_slot": "b", USTATE: UpdateState.INSTALLED})
    world = next(starts(world))
    assert world.running == 1
    rolled = happens(world, Event.BOOTED)
    assert rolled is not None
    settled, _ = settle(rolled, 0)
    assert settled.running == 0
    assert table.read_state(settled.read()) is UpdateState.FAILED
    assert happens(settled, Event.ROLL_BACK) is None


def test_half_a_system_is_never_named_while_the_other_one_works(worlds: set[World]) -> None:
    for world in worlds:
        if table.read_state(world.read()) is UpdateState.OK:
            continue  # confirmed; only the medium can have forgotten it
        named = state.read(world, BOARD, BOARD.slots[0]).named
        assert named is not None
        assert world.slots[BOARD.slots.index(named)] is not Content.HALF, world


def test_a_trial_boot_is_not_overwritten(worlds: set[World]) -> None:
    tried = 0
    for world in worlds:
        if world.running is None or table.read_state(world.read()) is not UpdateState.TESTING:
            continue
        situation = state.read(world, BOARD, BOARD.slots[world.running])
        if situation.named == situation.running:
            assert happens(world, Event.BEGIN) is None, world
            tried += 1
    assert tried


def test_a_new_system_gets_so_many_tries_and_no_more() -> None:
    world = FACTORY.holding(1, Content.PANICS).stored({"boot_slot": "b", USTATE: UpdateState.INSTALLED})
    for count in range(1, LIMIT + 1):
        world = next(starts(world))
        assert (world.running, world.get(TRIES)) == (None, str(count))
    world = next(starts(world))
    situation = state.read(world, BOARD, BOARD.slots[0])
    assert (world.running, situation.state, situation.fell_back) == (0, UpdateState.FAILED, True)


@pytest.mark.parametrize("event", list(Event))
def test_every_event_is_answered_or_refused_in_every_state(event: Event) -> None:
    for now in UpdateState:
        for named in (True, False):
            for tries_left in (True, False):
                row = table.find(event, now, named=named, tries_left=tries_left)
                assert row is not None or event in (
                    Event.BEGIN,
                    Event.CONFIRM,
                    Event.ROLL_BACK,
                    Event.NOT_STORED,
                )


def test_an_interrupted_installation_goes_before_all_else() -> None:
    assert table.read_state({RECOVERY_STATUS: "in_progress", USTATE: "1"}) is UpdateState.IN_PROGRESS
    assert table.read_state({USTATE: "nonsense"}) is UpdateState.OK
    assert table.read_state({}) is UpdateState.OK


def test_a_slot_that_the_board_does_not_know_is_no_slot() -> None:
    def named(board: Board, **variables: str) -> str | None:
        slot = state.read(FACTORY.stored({"boot_slot": None, **variables}), board, board.slots[0]).named
        return slot.name if slot else None

    assert named(BOARD) == "a"
    assert named(BOARD, boot_slot="b") == "b"
    assert named(BOARD, boot_slot="c") is None


def without(row: Row) -> tuple[Row, ...]:
    return tuple(other for other in TABLE if other is not row)


def test_the_exploration_notices_a_missing_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = next(row for row in TABLE if row.event is Event.START and row.slot is table.Slot.OTHER)
    endless = tuple(
        replace(row, slot=table.Slot.KEPT, to=UpdateState.TESTING) if row is spent else row for row in TABLE
    )
    world = FACTORY.holding(1, Content.PANICS).stored({"boot_slot": "b", USTATE: UpdateState.INSTALLED})
    for _ in range(10):
        world = next(starts(world, endless))
        assert world.running is None
    settled, count = settle(world, 0)
    assert (settled.running, count) == (0, 1)
