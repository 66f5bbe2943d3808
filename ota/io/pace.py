"""Counts bytes as they arrive on all connections, and holds them to a rate."""

from __future__ import annotations

import threading
import time


class Pace:
    """Shared by all threads of a source.

    Args:
        rate: bytes/s that are let through; None: all.

    Attributes:
        received: bytes so far.
        last_s: when the last ones came (time.monotonic).
    """

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_s = 0.0  # when the link of that rate has passed on what it took
        self.received = 0
        self.last_s = time.monotonic()

    def take(self, size: int, stopped: threading.Event) -> None:
        """Wait as long as it takes to pass these bytes on, or until `stopped`."""
        with self._lock:
            now = time.monotonic()
            self.received += size
            self.last_s = now
            if self._rate is None:
                return
            self._free_s = max(self._free_s, now) + size / self._rate
            wait_s = self._free_s - now
        stopped.wait(wait_s)
        with self._lock:
            self.last_s = time.monotonic()  # that we waited is no silence of the server's
