"""One request in flight: a thread reads the answer into a bounded buffer, from which the source takes it."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import requests

from ota.interfaces import Range
from ota.io import answer
from ota.io.answer import LARGE_BLOCK, Ability
from ota.io.pace import Pace
from ota.io.session import Session, translated

BUFFER: Final = 1 << 20  # bytes of an answer that wait to be taken; then the connection waits


class Transfer:
    """Started when made.

    Args:
        wanted: what to ask for, ascending.
        whole: ask for the file as a whole, for a server that knows no ranges.
        size: of the file, bytes, if that is known.
        validator: what the file's ETag must be, if that is known.

    Attributes:
        asked: the URL.
        location: where the answer comes from, redirects followed.
        redirects: requests that they cost.
        etag: of the answer, if it is one that tells two files apart.
        rtt_s: from the request to the head of its answer; 0 before.
        ability: what the head of the answer told; None where nothing.
        arrived: how many bytes came, wanted or not.
        known: whether the source took over what the head of the answer told.
        gained: whether it brought anything that was missing; the source says so.
    """

    def __init__(
        self,
        session: Session,
        url: str,
        wanted: Sequence[Range],
        size: int | None,
        validator: str | None,
        pace: Pace,
        *,
        whole: bool = False,
    ) -> None:
        self.wanted = wanted
        self.asked = self.location = url
        self.redirects = 0
        self.etag: str | None = None
        self.rtt_s = 0.0
        self.ability: Ability | None = None
        self.known = False
        self.arrived = 0
        self.gained = False
        self._session = session
        self._whole = whole
        self._size = size
        self._validator = validator
        self._pace = pace
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._buffer: deque[tuple[int, bytes]] = deque()
        self._buffered = 0  # bytes
        self._ended = False
        self._error: Exception | None = None
        self._response: requests.Response | None = None
        self._thread = threading.Thread(target=self._run, name=f"transfer {self.start}", daemon=True)
        self._thread.start()

    @property
    def start(self) -> int:
        """Of the first wanted byte."""
        return self.wanted[0].start

    @property
    def stop(self) -> int:
        """Behind the last wanted byte."""
        return self.wanted[-1].stop

    def take(self, timeout_s: float) -> Sequence[tuple[int, bytes]] | None:
        """What has arrived since the last time; empty where nothing came in time, None at the end.

        Raises:
            Exception: what ended the transfer, after all that came before.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._ended, timeout_s)
            if self._buffer:
                taken = list(self._buffer)
                self._buffer.clear()
                self._buffered = 0
                self._changed.notify()
                return taken
            if not self._ended:
                return ()
        # Its traceback leads to this object: kept here, it would keep the connection too.
        error, self._error = self._error, None
        try:
            if error:
                raise error
        finally:
            del error
        return None

    def cancel(self) -> None:
        """End it without waiting: its connection is shut down, which wakes its thread."""
        self._stopped.set()
        with self._changed:
            self._changed.notify()
            if self._response is not None:
                _shut_down(self._response)

    def join(self, timeout_s: float) -> None:
        """Wait for its thread."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            for piece in self._pieces():
                self._pace.take(len(piece[1]), self._stopped)
                self.arrived += len(piece[1])
                self._put(piece)
                if self._stopped.is_set():
                    break
        except Exception as error:  # handed to the thread that asked, if it still wants to know
            self._error = None if self._stopped.is_set() else error
        with self._changed:
            self._response = None
            self._ended = True
            self._changed.notify()

    def _put(self, piece: tuple[int, bytes]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._buffered < BUFFER or self._stopped.is_set())
            self._buffer.append(piece)
            self._buffered += len(piece[1])
            self._changed.notify()

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        asked = [] if self._whole else self.wanted
        headers = {"Range": answer.range_header(asked)} if asked else {}
        if asked and self._validator:
            headers["If-Range"] = self._validator  # RFC 9110 §13.1.5: else the server sends the new file
        with translated(self.asked):
            response = self._session.ask(self.asked, headers)
            try:
                self._begin(response, asked)
                yield from self._use(response)
            finally:
                with self._changed:
                    self._response = None
                response.close()

    def _begin(self, response: requests.Response, asked: Sequence[Range]) -> None:
        self.redirects = len(response.history)
        self.location = response.url
        self.rtt_s = response.elapsed.total_seconds()
        etag = response.headers.get("ETag", "")
        self.etag = etag if etag.startswith('"') else None  # a weak one does not tell bytes apart
        answer.check_etag(response.url, self._validator, self.etag)
        self.ability = answer.ability(response, asked)
        with self._changed:
            self._response = response
        if self._stopped.is_set():
            _shut_down(response)

    def _use(self, response: requests.Response) -> Iterator[tuple[int, bytes]]:
        yield from answer.pieces(response, self._size, self.stop)
        if not self._whole:
            # What ends a multipart answer: read it, and the connection lives on.
            response.raw.read(LARGE_BLOCK)


def _shut_down(response: requests.Response) -> None:
    """Wake a thread that reads from it. Closing would not: the descriptor must stay valid under a read."""
    # It may have been closed meanwhile, and says so in many ways.
    with (
        suppress(OSError, ValueError, AttributeError),
        socket.socket(fileno=os.dup(response.raw.fileno())) as connection,
    ):
        connection.shutdown(socket.SHUT_RDWR)
