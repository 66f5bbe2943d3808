"""The life of an update in the boot loader's environment, in SWUpdate's own variables and values.

`recovery_status` stands while an update is being written or has failed; `ustate` outlives the reboot
(swupdate: sw-description, "Update Transaction and Status Marker"; include/state.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

RECOVERY_STATUS: Final = "recovery_status"
USTATE: Final = "ustate"


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


_RECOVERY: Final[Mapping[UpdateState, str | None]] = {
    UpdateState.IN_PROGRESS: "in_progress",
    UpdateState.FAILED: "failed",
    UpdateState.INSTALLED: None,
}


def changes(state: UpdateState, *, transaction_marker: bool, state_marker: bool) -> dict[str, str | None]:
    """The variables that say this state.

    Args:
        transaction_marker: sw-description's bootloader_transaction_marker: `recovery_status` is wanted.
        state_marker: sw-description's bootloader_state_marker: `ustate` is wanted.
    """
    said: dict[str, str | None] = {}
    if transaction_marker:
        said[RECOVERY_STATUS] = _RECOVERY[state]
    if state_marker:
        said[USTATE] = str(state)
    return said
