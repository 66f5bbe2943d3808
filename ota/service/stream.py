"""A package that a client sends over its connection."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Final

from ota.errors import UpdateError

SILENCE_S: Final = 120  # the client itself may wait for a server; while it does, nobody else can install
DRAIN_S: Final = 5  # for a client that still sends to learn how it ended, before its connection ends

_BLOCK: Final = 1 << 18  # bytes


class Stream:
    """A `Reader` over a connection.

    It ends where the client hangs up, in whatever way: the archive itself says whether it is complete.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SILENCE_S)
        self._connection = connection

    def begin(self, answer: bytes) -> None:
        """Say that the package may come; where the client is gone, `read` says so."""
        with contextlib.suppress(OSError):
            self._connection.sendall(answer)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes.

        Raises:
            UpdateError: "archive-truncated": nothing comes any more.
        """
        try:
            return self._connection.recv(size)
        except TimeoutError as error:
            raise UpdateError(
                "archive-truncated", f"the client sent nothing for {SILENCE_S} s", hint="send it again"
            ) from error
        except ConnectionError:
            return b""

    def is_ready(self, timeout_s: float, /) -> bool:
        """As a `Patient` reader's."""
        return bool(select.select([self._connection], [], [], max(0.0, timeout_s))[0])

    def drain(self) -> None:
        """Read what the client still sends, for a while: cut off, it would not ask how the update ended."""
        deadline = time.monotonic() + DRAIN_S
        try:
            while (left_s := deadline - time.monotonic()) > 0:
                self._connection.settimeout(left_s)
                if not self._connection.recv(_BLOCK):
                    return
        except OSError:
            return

    def close(self) -> None:
        self._connection.close()
