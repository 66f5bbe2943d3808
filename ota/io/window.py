"""How much is asked for ahead: twice what the line has been seen to deliver in a round trip.

So requests in flight double with each round trip as long as goodput doubles with them, and no longer.
"""

from __future__ import annotations

from typing import Final

_GUESS: Final = 1.25e6  # bytes/s; a line of which nothing is known is thought to have 10 Mbit/s
_SAMPLE_S: Final = 0.1  # goodput is taken over this time, or over a round trip if that is more


class Window:
    """Of one server.

    Args:
        rtt_s: seconds from a request to its answer when it was last asked; 0: not known.
        rate: bytes/s that it delivered then; 0: not known.
        now_s: a monotonic clock.

    Attributes:
        rtt_s: of the quickest answer.
        rate: the best goodput seen, bytes/s.
    """

    def __init__(self, rtt_s: float, rate: float, now_s: float) -> None:
        self.rtt_s = rtt_s
        self.rate = rate
        self._answered = False
        self._since_s = now_s
        self._received = 0

    @property
    def size(self) -> int:
        """Bytes that may be asked for and not yet here."""
        return int(2 * max(self.rate, _GUESS) * self.rtt_s)

    def answered(self, rtt_s: float) -> None:
        """The head of an answer came. What was known from last time may have been another network."""
        self.rtt_s = min(rtt_s, self.rtt_s) if self._answered else rtt_s
        self._answered = True

    def arrived(self, now_s: float, received: int) -> None:
        """So many bytes have come by now, all in all."""
        spent_s = now_s - self._since_s
        if spent_s >= max(_SAMPLE_S, self.rtt_s):
            self.rate = max(self.rate, (received - self._received) / spent_s)
            self._since_s, self._received = now_s, received
