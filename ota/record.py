"""What the agent notes of the last update that the boot loader was told to start, and how that ended.

It is written before the switch, so that no power cut leaves a switched device without it, and again when the
new system was confirmed or given up:

    pending -> confirmed | fell back | rolled back | failed

The boot environment decides what is started; this tells people, and what need not be installed again. Beside
it lies what the last command said, whatever became of it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from ota.errors import OtaError
from ota.io import durable

MAX_REFUSED: Final = 32  # releases that are remembered because they did not stay

_log = logging.getLogger(__name__)

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Outcome(StrEnum):
    """How an update ended."""

    PENDING = "pending"  # the boot loader will start it, or it is on trial
    CONFIRMED = "confirmed"
    FELL_BACK = "fell back"  # the boot loader gave it up
    ROLLED_BACK = "rolled back"  # its health checks failed, or the operator did not want it
    FAILED = "failed"  # the boot loader could not be told


@dataclass(frozen=True, slots=True)
class Release:
    """What a slot was made from, as far as it is known."""

    version: str
    package: str | None = None  # sha256 of its sw-description


@dataclass(frozen=True, slots=True)
class Record:
    """One update."""

    release: Release
    slot: str  # that is to be started
    at: int  # seconds since 1970: when the boot loader was told
    boot: str  # the kernel's name of the boot in which that was, or in which it was rolled back
    before: str  # the slot that ran then; the same one where no slot was switched
    is_rollback: bool = False  # to a release that was there before
    outcome: Outcome = Outcome.PENDING
    reason: str = ""  # why it did not stay
    refused: tuple[Release, ...] = ()  # what did not stay, now or earlier; the newest last

    def ended(self, outcome: Outcome, reason: str = "") -> Record:
        """The same with its end; what did not stay is refused from now on, and what stays is not."""
        refused = [release for release in self.refused if release != self.release]
        if outcome in (Outcome.FELL_BACK, Outcome.ROLLED_BACK):
            refused.append(self.release)
        return replace(self, outcome=outcome, reason=reason, refused=tuple(refused[-MAX_REFUSED:]))


def read(state_dir: Path) -> Record | None:
    """The last update; None where none is known."""
    try:
        found = json.loads(_path(state_dir).read_bytes())
        release = Release(**found.pop("release"))
        refused = tuple(Release(**each) for each in found.pop("refused"))
        return Record(
            **{**found, "release": release, "refused": refused, "outcome": Outcome(found["outcome"])}
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write(state_dir: Path, record: Record) -> None:
    """Note an update durably.

    Raises:
        DeviceError: "disk-full", "state-unwritable".
    """
    durable.replace(_path(state_dir), json.dumps(asdict(record)).encode())


def begun(state_dir: Path, release: Release, slot: str, running: str, *, is_rollback: bool = False) -> Record:
    """The record of an update whose switch is about to be made; what was refused before stays so."""
    before = read(state_dir)
    return Record(
        release,
        slot,
        at=int(time.time()),
        boot=boot_id(),
        before=running,
        is_rollback=is_rollback,
        refused=before.refused if before else (),
    )


def remember(state_dir: Path, answer: Mapping[str, object]) -> None:
    """Keep how the last command ended; that this cannot be done does not change how it ended."""
    text = json.dumps({"at": int(time.time()), **answer})
    try:
        durable.replace(state_dir / "last.json", text.encode())
    except OtaError as error:
        _log.error("%s", error)


def last(state_dir: Path) -> object:
    """What was remembered."""
    try:
        return json.loads((state_dir / "last.json").read_bytes())
    except (OSError, ValueError):
        return None


def boot_id() -> str:
    """The kernel's name of this boot: another one after every start."""
    return _BOOT_ID.read_text().strip()


def _path(state_dir: Path) -> Path:
    return state_dir / "update.json"
