"""The life of an update between power-ons, as one table: (state, event) -> (state, actions).

Four variables of the boot environment carry it. SWUpdate's own two, with its values: `ustate`, and
`recovery_status` while an update is being written or has failed (swupdate: sw-description, "Update
Transaction and Status Marker"; include/state.h). The try counter `boot_tries`. And the board's own, which
name the slot to start.

The boot loader's script, the agent and the diagram in docs/boot.md are all made from TABLE. An event that
has no row in a state is refused. Every row is one store of the environment: a power cut lies before it or
behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

RECOVERY_STATUS: Final = "recovery_status"
USTATE: Final = "ustate"
TRIES: Final = "boot_tries"
MAX_LIMIT: Final = 9  # tries; scripts compare digits


class UpdateState(StrEnum):
    """The values of `ustate`."""

    OK = "0"
    INSTALLED = "1"
    TESTING = "2"
    FAILED = "3"
    NOT_AVAILABLE = "4"
    ERROR = "5"
    WAIT = "6"
    IN_PROGRESS = "7"


class Event(StrEnum):
    """What happens."""

    START = "start"  # the board was switched on or reset: the boot loader's turn
    NOT_LOADED = "not loaded"  # the boot loader finds no kernel in the slot that it would start
    NOT_STORED = "not stored"  # its store failed: the medium cannot be written
    BOOTED = "booted"  # the agent's first look after a start
    BEGIN = "begin"  # an installation is about to write the slot that does not run
    COMMIT = "commit"  # it was written and proved
    FAIL = "fail"  # it could not be
    CONFIRM = "confirm"  # the running system is good: health checks, `ota confirm`
    ROLL_BACK = "roll back"  # it is not: health checks, `ota rollback`


class Running(Enum):
    """Whether the slot that runs is the one that the environment names."""

    NAMED = "named"
    UNNAMED = "unnamed"
    EITHER = "either"


class Slot(Enum):
    """Which slot the environment names afterwards."""

    KEPT = "the same"
    OTHER = "the other"  # than it names now
    RUNNING = "the running"
    IDLE = "the one that does not run"


class Count(Enum):
    """What becomes of the try counter."""

    KEPT = "kept"
    NONE = "0"
    FIRST = "1"
    NEXT = "+1"


class Action(Enum):
    """What is done behind the store."""

    NOTHING = "nothing"
    START_NAMED = "start the named slot"
    START_OTHER = "start the other slot, this once"
    RESET = "reset"
    CHECK_HEALTH = "check health"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule; the first that fits is the one.

    Attributes:
        states: before; empty: any.
        tries_left: whether the counter is below the limit; None: it does not matter.
        to: the state afterwards; None: the same.
        recovery: `recovery_status` afterwards: "" removes it; None leaves it.
    """

    event: Event
    states: frozenset[UpdateState]
    action: Action
    why: str
    running: Running = Running.EITHER
    tries_left: bool | None = None
    to: UpdateState | None = None
    slot: Slot = Slot.KEPT
    count: Count = Count.KEPT
    recovery: str | None = None

    @property
    def stores(self) -> bool:
        """Whether the environment is written."""
        return self.to is not None or self.slot is not Slot.KEPT or self.count is not Count.KEPT


ANY: Final = frozenset[UpdateState]()
TRIAL: Final = frozenset({UpdateState.INSTALLED, UpdateState.TESTING})
SETTLED: Final = frozenset(
    {UpdateState.OK, UpdateState.NOT_AVAILABLE, UpdateState.ERROR, UpdateState.WAIT}
)  # the last three are a server's words, and nothing to a boot loader


def _only(state: UpdateState) -> frozenset[UpdateState]:
    return frozenset({state})


INSTALLED: Final = _only(UpdateState.INSTALLED)
TESTING: Final = _only(UpdateState.TESTING)
FAILED: Final = _only(UpdateState.FAILED)
IN_PROGRESS: Final = _only(UpdateState.IN_PROGRESS)

TABLE: Final = (
    Row(Event.START, INSTALLED, Action.START_NAMED, "first try",
        to=UpdateState.TESTING, count=Count.FIRST),
    Row(Event.START, TESTING, Action.START_NAMED, "another try",
        tries_left=True, to=UpdateState.TESTING, count=Count.NEXT),
    Row(Event.START, TESTING, Action.START_NAMED, "tries are spent: fall back",
        to=UpdateState.FAILED, slot=Slot.OTHER),
    Row(Event.START, ANY, Action.START_NAMED, "nothing on trial"),
    Row(Event.NOT_LOADED, SETTLED | FAILED, Action.START_OTHER, "nothing here: the other slot may help"),
    Row(Event.NOT_LOADED, ANY, Action.RESET, "a try is spent, or the other slot is half written"),
    Row(Event.NOT_STORED, TRIAL, Action.START_OTHER, "what cannot be counted is not tried"),
    Row(Event.BOOTED, TRIAL, Action.CHECK_HEALTH, "trial boot", running=Running.NAMED),
    Row(Event.BOOTED, INSTALLED, Action.NOTHING, "not tried yet", running=Running.UNNAMED),
    Row(Event.BOOTED, SETTLED | TESTING | FAILED, Action.NOTHING, "the boot loader took the other slot",
        running=Running.UNNAMED, to=UpdateState.FAILED, slot=Slot.RUNNING),
    Row(Event.BOOTED, ANY, Action.NOTHING, "nothing on trial"),
    Row(Event.BEGIN, ANY, Action.NOTHING, "the other slot is about to be written", running=Running.UNNAMED,
        to=UpdateState.IN_PROGRESS, slot=Slot.RUNNING, recovery="in_progress"),
    Row(Event.BEGIN, SETTLED | INSTALLED | FAILED | IN_PROGRESS, Action.NOTHING,
        "the other slot is about to be written",
        to=UpdateState.IN_PROGRESS, slot=Slot.RUNNING, recovery="in_progress"),
    Row(Event.COMMIT, ANY, Action.REBOOT, "written and proved",
        to=UpdateState.INSTALLED, slot=Slot.IDLE, recovery=""),
    Row(Event.FAIL, ANY, Action.NOTHING, "not written, or not proved",
        to=UpdateState.FAILED, slot=Slot.RUNNING, recovery="failed"),
    Row(Event.CONFIRM, TRIAL, Action.NOTHING, "the new system stays", running=Running.NAMED,
        to=UpdateState.OK, count=Count.NONE),
    Row(Event.CONFIRM, SETTLED, Action.NOTHING, "it was confirmed before", running=Running.NAMED),
    Row(Event.ROLL_BACK, TRIAL, Action.REBOOT, "the old system comes back", running=Running.NAMED,
        to=UpdateState.FAILED, slot=Slot.OTHER, count=Count.NONE),
    Row(Event.ROLL_BACK, INSTALLED, Action.NOTHING, "the new system is not tried", running=Running.UNNAMED,
        to=UpdateState.FAILED, slot=Slot.RUNNING, count=Count.NONE),
    Row(Event.ROLL_BACK, SETTLED, Action.REBOOT, "the release before, on trial", running=Running.NAMED,
        to=UpdateState.INSTALLED, slot=Slot.OTHER, count=Count.NONE),
)  # fmt: skip


def find(
    event: Event, state: UpdateState, *, named: bool, tries_left: bool, table: tuple[Row, ...] = TABLE
) -> Row | None:
    """The row that fits, or None: the event is refused.

    Args:
        named: whether the slot that runs is the one that the environment names.
        tries_left: whether the counter is below the limit.
    """
    running = Running.NAMED if named else Running.UNNAMED
    for row in table:
        fits = row.event is event and (not row.states or state in row.states)
        if fits and row.running in (running, Running.EITHER) and row.tries_left in (tries_left, None):
            return row
    return None


def read_state(variables: Mapping[str, str]) -> UpdateState:
    """What the environment says; an installation that was interrupted goes before all else."""
    if variables.get(RECOVERY_STATUS) == "in_progress":
        return UpdateState.IN_PROGRESS
    said = variables.get(USTATE) or UpdateState.OK
    return UpdateState(said) if said in set(UpdateState) else UpdateState.OK


def next_count(count: Count, tries: int) -> str | None:
    """The counter's new value, or None where it is kept."""
    if count is Count.KEPT:
        return None
    return str(tries + 1) if count is Count.NEXT else count.value
