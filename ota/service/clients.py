"""All connections of the service, in one thread, so that no client ever holds up an installation.

Whatever they do has a bound: how many they are, how long they take to ask and to read an answer, how much
waits for them.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final

from ota.service.client import Client, GoneError

MAX_CLIENTS: Final = 64  # descriptors
PATIENCE_S: Final = 10.0  # to say what one wants, and to read the answer: it is the same machine
END_S: Final = 1.0  # to read how it ended

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE
_PAUSE_S: Final = 0.1  # where the machine has no room for one more connection

_log = logging.getLogger(__name__)


class Clients:
    """Connections, and the thread that serves them.

    Args:
        broke: is told of a fault of ours, which ends the thread.
    """

    def __init__(self, broke: Callable[[BaseException], None]) -> None:
        self._broke = broke
        self._clients: set[Client] = set()
        self._listening: list[socket.socket] = []
        self._posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._bell, self._button = socket.socketpair()
        self._end: float | None = None
        # A signal may come before `stop` can be called.
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._selector.register(self._bell, _READ, lambda _: self._bell.recv(4096))

    # For other threads.

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give clients a moment to read what was said last, and close all connections."""
        self.post(self._stop)
        self._thread.join()
        self._selector.close()
        self._bell.close()
        self._button.close()

    def post(self, action: Callable[[], None]) -> None:
        """Have something done in the thread of the connections; does not wait for it."""
        self._posted.put(action)
        with contextlib.suppress(BlockingIOError):  # the bell rings already
            self._button.send(b"\0")

    # For the thread of the connections, and before it starts.

    def accept(self, listening: socket.socket, wanted: int, met: Callable[[Client], None]) -> None:
        """Take connections.

        Args:
            wanted: bytes that a client is to say first.
            met: is called with each client that said them.
        """
        listening.setblocking(False)
        self._listening.append(listening)
        self._selector.register(listening, _READ, lambda _: self._accept(listening, wanted, met))

    def put(self, client: Client, message: bytes, *, may_be_missed: bool = False) -> None:
        """Tell a client something, if it is still there."""
        if client in self._clients:
            with self._settling(client):
                client.put(message, may_be_missed=may_be_missed)

    def finish(self, client: Client, message: bytes) -> None:
        """Tell a client the last thing; when it was told, the connection ends."""
        client.deadline = time.monotonic() + PATIENCE_S
        client.is_finished = True
        self.put(client, message)

    def release(self, client: Client) -> socket.socket:
        """The connection is the caller's from now on."""
        self._clients.remove(client)
        self._watch(client, 0)
        return client.connection

    def drop(self, client: Client) -> None:
        self.release(client).close()

    def __contains__(self, client: Client) -> bool:
        return client in self._clients

    def _accept(self, listening: socket.socket, wanted: int, met: Callable[[Client], None]) -> None:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("a client cannot be served: %s", error.strerror)
            time.sleep(_PAUSE_S)
            return
        if len(self._clients) >= MAX_CLIENTS:
            _log.warning("a client is turned away: %d are here", MAX_CLIENTS)
            connection.close()
            return
        client = Client(connection, wanted, met)
        client.deadline = time.monotonic() + PATIENCE_S if wanted else None
        self._clients.add(client)
        with self._settling(client):
            if not wanted:
                met(client)

    def _serve(self, client: Client, events: int) -> None:
        if client not in self._clients:
            return  # dropped a moment ago
        with self._settling(client):
            if events & _WRITE:
                client.send()
            if events & _READ and client.hear():
                client.met(client)

    @contextlib.contextmanager
    def _settling(self, client: Client) -> Iterator[None]:
        """After something happened to a client: what next? Where it is gone, it is dropped."""
        try:
            yield
        except (OSError, GoneError) as error:
            _log.debug("a client is dropped: %s", error)
            if client in self._clients:
                self.drop(client)
        if client not in self._clients:
            return
        if client.was_told and client.is_finished:
            self.drop(client)
        else:
            self._watch(client, (0 if client.is_heard else _READ) | (0 if client.was_told else _WRITE))

    def _watch(self, client: Client, events: int) -> None:
        """Be woken for these events only; for none if there are none."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(client.connection)
        if events:
            self._selector.register(client.connection, events, lambda found: self._serve(client, found))

    def _run(self) -> None:
        try:
            while not self._has_ended():
                for key, events in self._selector.select(self._timeout_s()):
                    key.data(events)
                while not self._posted.empty():
                    self._posted.get()()
                self._expire()
        except Exception as error:
            self._broke(error)
        finally:
            for client in list(self._clients):
                self.drop(client)

    def _stop(self) -> None:
        for listening in self._listening:
            self._selector.unregister(listening)
        self._end = time.monotonic() + END_S

    def _has_ended(self) -> bool:
        if self._end is None:
            return False
        return time.monotonic() > self._end or all(client.was_told for client in self._clients)

    def _timeout_s(self) -> float | None:
        """Until the next one's time is over."""
        times = [client.deadline for client in self._clients if client.deadline is not None]
        if self._end is not None:
            times.append(self._end)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _expire(self) -> None:
        now = time.monotonic()
        for client in [client for client in self._clients if client.deadline and client.deadline < now]:
            _log.warning("a client is dropped: it does not say what it wants, or does not read the answer")
            self.drop(client)
