"""What the boot loader does at a start, in branches that need neither arithmetic nor a table.

A counter is compared with each of its values, since GRUB cannot add.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ota.board import Board
from ota.boot import table
from ota.boot.table import TRIES, USTATE, Action, Event, Row, Slot, UpdateState
from ota.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Branch:
    """One case: what must hold, and what is stored then."""

    state: UpdateState
    tries: int | None  # None: any value, a senseless one too
    changes: Mapping[str, str]  # of state and counter
    to_other: bool  # whether the environment names the other slot from now on
    why: str


@dataclass(frozen=True, slots=True)
class Logic:
    """A board's boot logic.

    Attributes:
        variable: names the slot to start.
        slots: its two values; the first one is meant where it has neither.
        start: the first branch that fits is taken; where none does, nothing is stored.
        not_loaded: states in which the other slot is started, for once, where this one holds no kernel.
    """

    variable: str
    slots: tuple[str, str]
    start: tuple[Branch, ...]
    not_loaded: tuple[UpdateState, ...]


def read(board: Board, rows: tuple[Row, ...]) -> Logic:
    """The boot loader's events out of the table.

    Raises:
        ConfigError: the board's slots are not told apart by one variable.
    """
    first, second = board.slots
    if len(first.bootenv) != 1 or first.bootenv.keys() != second.bootenv.keys():
        raise ConfigError(
            "config-value",
            f"board {board.name!r}: slots.*.bootenv",
            expected="one variable, the same in both slots",
            found=", ".join(sorted({*first.bootenv, *second.bootenv})) or "none",
        )
    variable = next(iter(first.bootenv))
    return Logic(
        variable,
        (first.bootenv[variable], second.bootenv[variable]),
        tuple(_branches(rows, board.tries)),
        tuple(state for state in UpdateState if _starts_other(rows, state)),
    )


def _branches(rows: tuple[Row, ...], limit: int) -> Iterator[Branch]:
    """For each state the counter's values below the limit, then all others."""
    for state in UpdateState:
        for tries in (*range(limit), None):
            row = table.find(Event.START, state, named=True, tries_left=tries is not None, table=rows)
            if row is None or not row.stores:
                continue
            if tries is None or row.tries_left is not None:
                yield _branch(row, state, tries)


def _branch(row: Row, state: UpdateState, tries: int | None) -> Branch:
    changes = {} if row.to is None else {USTATE: str(row.to)}
    count = table.next_count(row.count, tries or 0)
    if count is not None:
        changes[TRIES] = count
    return Branch(state, tries, changes, row.slot is Slot.OTHER, row.why)


def _starts_other(rows: tuple[Row, ...], state: UpdateState) -> bool:
    row = table.find(Event.NOT_LOADED, state, named=True, tries_left=True, table=rows)
    return row is not None and row.action is Action.START_OTHER
