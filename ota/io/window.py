"""How many requests are in flight: twice as many as long as that brings more bytes a second."""

from __future__ import annotations

from typing import Final

MAX_WINDOW: Final = 64  # requests, each on a connection of its own
_GAIN: Final = 1.15  # of goodput, that is worth twice the connections


class Window:
    """Measures goodput over as many answers as requests are in flight, then decides.

    Args:
        size: to begin with.
        now_s: a monotonic clock.

    Attributes:
        size: requests that may be in flight.
        best: the size that brought the most so far; the one to begin with next time.
        rate: what it brought, bytes/s.
    """

    def __init__(self, size: int, now_s: float) -> None:
        self.size = self.best = min(size, MAX_WINDOW)
        self.rate = 0.0
        self._settled = False
        self._begin(now_s, 0)

    def answered(self, now_s: float, received: int, *, filled: bool) -> None:
        """One more request was answered.

        Args:
            received: bytes, all in all.
            filled: whether more requests would have been made, had there been room.
        """
        self._answers += 1
        if self._answers < self.size:
            return
        rate = (received - self._received) / max(now_s - self._since_s, 1e-6)
        if rate > self.rate * _GAIN:
            self.rate, self.best = rate, self.size
        elif self.size > self.best:
            self.size, self._settled = self.best, True
        if filled and not self._settled:
            self.size = min(self.best * 2, MAX_WINDOW)
        self._begin(now_s, received)

    def _begin(self, now_s: float, received: int) -> None:
        self._since_s = now_s
        self._received = received
        self._answers = 0
