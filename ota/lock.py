"""One command at a time changes slots and boot environment: a lock in the state folder."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ota.errors import DeviceError
from ota.io.durable import translate

_log = logging.getLogger(__name__)


@contextmanager
def held(state_dir: Path, *, required: bool = True) -> Iterator[None]:
    """Hold the lock; nobody waits for it.

    Args:
        required: False: go on where the folder cannot be written. No update can be installed there, and so
            nobody has the lock.

    Raises:
        DeviceError: "busy"; where it is required "disk-full", "state-unwritable".
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("w")
    except OSError as error:
        refusal = translate(error, state_dir / "lock")
        if required:
            raise refusal from error
        _log.warning("%s", refusal)
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeviceError("busy", "another ota command is at work") from error
        yield
