"""One connection of the service: what it said so far, what it is still to be told. Nothing here waits."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING: Final = 64  # messages, beside some in the kernel's buffer

_IGNORED: Final = 4096  # bytes read at once of what nobody asked for


class GoneError(Exception):
    """A client hung up, or does not read what it has to know."""


class Client:
    """A connection that does not block.

    Args:
        wanted: bytes that it is to say; 0: it listens, and what it says is ignored.
        met: is called when it said them.

    Attributes:
        deadline: when it is given up, by the monotonic clock.
        is_finished: it is dropped once it was told everything.
    """

    def __init__(self, connection: socket.socket, wanted: int, met: Callable[[Client], None]) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.met = met
        self.deadline: float | None = None
        self.is_finished = False
        self.said = b""
        self._wanted = wanted
        self._waiting: deque[tuple[bytes, bool]] = deque()  # message, and whether it may be missed
        self._rest = b""  # of the message that is on its way

    @property
    def was_told(self) -> bool:
        """Whether nothing waits for it."""
        return not self._rest and not self._waiting

    @property
    def is_heard(self) -> bool:
        """Whether it said its message. What follows is not read here: it is a package."""
        return 0 < self._wanted == len(self.said)

    def listen(self) -> None:
        """It has nothing more to say, and stays until it hangs up."""
        self._wanted, self.deadline = 0, None

    def hear(self) -> bool:
        """Read what is there; whether its message is complete now."""
        data = self.connection.recv((self._wanted - len(self.said)) if self._wanted else _IGNORED)
        if not data:
            raise GoneError("it hung up")
        if self._wanted:
            self.said += data
        return self.is_heard

    def put(self, message: bytes, *, may_be_missed: bool) -> None:
        """Tell it something; where too much waits, what may be missed is."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting = deque(item for item in self._waiting if not item[1])
        if len(self._waiting) >= MAX_WAITING:
            raise GoneError(f"it does not read, and {MAX_WAITING} messages wait for it")
        self._waiting.append((message, may_be_missed))
        self.send()

    def send(self) -> None:
        """Send what goes now."""
        while not self.was_told:
            if not self._rest:
                self._rest, _ = self._waiting.popleft()
            try:
                sent = self.connection.send(self._rest, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            self._rest = self._rest[sent:]
