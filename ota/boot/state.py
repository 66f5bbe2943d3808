"""What the boot environment says, and what an event makes of it: the table, applied to these slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ota.board import Board, Slot
from ota.boot import table
from ota.boot.table import RECOVERY_STATUS, TRIES, USTATE, Action, Event, Row, UpdateState
from ota.errors import DeviceError
from ota.interfaces import Bootloader


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an update stands, seen from the slot that runs."""

    state: UpdateState
    tries: int
    named: Slot | None  # what the boot loader will start; None: the environment names no slot of the board
    running: Slot
    board: Board
    recovery: str | None  # recovery_status

    @property
    def fell_back(self) -> bool:
        """Whether the boot loader gave the other slot up: the agent's own ways set the counter back."""
        return (
            self.state is UpdateState.FAILED
            and self.tries >= self.board.tries
            and self.named == self.running
            and not self.recovery
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the table, applied: a store of the environment, and what is done behind it."""

    changes: Mapping[str, str | None]  # all of them in one store; empty: none is needed
    action: Action
    why: str


def read(bootloader: Bootloader, board: Board, running: Slot) -> Situation:
    """Look at the environment.

    Raises:
        DeviceError: "boot-environment": it cannot be read.
    """
    variables = bootloader.read()
    tries = variables.get(TRIES, "")
    return Situation(
        state=table.read_state(variables),
        tries=int(tries) if len(tries) == 1 and "0" <= tries <= "9" else 0,
        named=named(board, variables),
        running=running,
        board=board,
        recovery=variables.get(RECOVERY_STATUS) or None,
    )


def step(situation: Situation, event: Event) -> Step:
    """What an event leads to; nothing is stored yet.

    Raises:
        DeviceError: "boot-state": the table has no such event in this state.
    """
    row = table.find(
        event,
        situation.state,
        named=situation.named == situation.running,
        tries_left=situation.tries < situation.board.tries,
    )
    if row is None:
        raise DeviceError(
            "boot-state",
            f"no {event} in this state",
            expected=_expected(event),
            found=f"ustate={situation.state} in slot {situation.running.name!r}",
            hint="ota status; ota confirm or ota rollback end a trial boot",
        )
    return Step(_changes(row, situation), row.action, row.why)


def named(board: Board, variables: Mapping[str, str | None]) -> Slot | None:
    """The slot whose variables are set; the first one where none is, as in the boot loader's script."""
    for slot in board.slots:
        if all(variables.get(name) == value for name, value in slot.bootenv.items()):
            return slot
    unset = not any(variables.get(name) for slot in board.slots for name in slot.bootenv)
    return board.slots[0] if unset else None


def marked(
    changes: Mapping[str, str | None], *, transaction_marker: bool, state_marker: bool
) -> dict[str, str | None]:
    """The changes without those that the sw-description does not want.

    Args:
        transaction_marker: its bootloader_transaction_marker: `recovery_status` is wanted.
        state_marker: its bootloader_state_marker: `ustate` is wanted.
    """
    unwanted = {RECOVERY_STATUS: not transaction_marker, USTATE: not state_marker}
    return {name: value for name, value in changes.items() if not unwanted.get(name, False)}


def _changes(row: Row, situation: Situation) -> dict[str, str | None]:
    changes: dict[str, str | None] = {}
    if row.slot is not table.Slot.KEPT:
        changes |= _chosen(row.slot, situation).bootenv
    if row.to is not None:
        changes[USTATE] = row.to
    if row.recovery is not None:
        changes[RECOVERY_STATUS] = row.recovery or None
    count = table.next_count(row.count, situation.tries)
    if count is not None:
        changes[TRIES] = count
    return changes


def _chosen(which: table.Slot, situation: Situation) -> Slot:
    idle = situation.board.other(situation.running)
    if which is table.Slot.RUNNING:
        return situation.running
    if which is table.Slot.IDLE:
        return idle
    return idle if situation.named == situation.running else situation.running


def _expected(event: Event) -> str:
    states = {state for row in table.TABLE if row.event is event for state in row.states}
    return "ustate " + ", ".join(sorted(states))
