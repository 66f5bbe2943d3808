"""What earlier answers told of each server, kept in the state folder so that the next update need not ask.

    <state>/servers.json    {"host:port": {"ability": "single", "rtt_s": 0.2, ...}}

An entry is forgotten after a month: servers change.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ota.io import durable
from ota.io.answer import Ability

KEPT_S: Final = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Facts:
    """One server, as the last transfer found it."""

    ability: Ability | None = None  # None: not known
    rtt_s: float = 0.0  # from a request to the first byte of its answer
    rate: float = 0.0  # bytes/s


class Servers:
    """Facts by origin.

    Args:
        folder: the state folder; None remembers nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "servers.json" if folder else None

    def get(self, origin: str) -> Facts:
        """What is known of a server; the defaults where nothing is."""
        try:
            entry = self._load()[origin]
            if 0 <= time.time() - entry["at"] <= KEPT_S:
                return Facts(Ability(entry["ability"]), entry["rtt_s"] + 0.0, entry["rate"] + 0.0)
        except (KeyError, TypeError, ValueError):
            pass  # a file that cannot be read is one that is not there
        return Facts()

    def put(self, origin: str, facts: Facts) -> None:
        """Raises: DeviceError: "state-unwritable", "disk-full"."""
        if self._path is None or facts.ability is None:
            return
        entries = {**self._load(), origin: {**asdict(facts), "at": int(time.time())}}
        durable.replace(self._path, json.dumps(entries).encode())

    def _load(self) -> dict[str, Any]:  # Any: JSON
        try:
            entries = json.loads(self._path.read_bytes()) if self._path else {}
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}
