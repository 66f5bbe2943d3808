"""Answers what SWUpdate's tools ask on the two sockets.

Everything here but `work`, `tell`, start and end is done in the thread of the connections. What takes longer
is handed to the main thread as `Work`.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

from ota.errors import ConfigError
from ota.service import messages
from ota.service.client import Client
from ota.service.clients import Clients
from ota.service.messages import Layout, Notice, Progress, Request, State, Type
from ota.service.stream import Stream

MAX_NOTICES: Final = 50  # kept for those who ask later; a client is sent them at once

# A client that missed one of these knows more when the next one comes.
_MAY_BE_MISSED: Final = (State.PROGRESS, State.DOWNLOAD)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Installation:
    """A package to be installed, on its way."""

    request: Request
    stream: Stream


@dataclass(frozen=True, slots=True)
class Question:
    """What needs more than is known here; `answer` may be called from any thread."""

    kind: Type
    message: bytes
    answer: Callable[[bytes], None]


Work = Installation | Question


class Desk:
    """What clients talk to.

    Args:
        control, progress: listening sockets.
        layout: of what the progress socket says.
        known: the data of answers that never change.
        asked: what becomes a `Question`.
    """

    def __init__(
        self,
        control: socket.socket,
        progress: socket.socket,
        layout: Layout,
        known: Mapping[Type, bytes],
        asked: frozenset[Type],
    ) -> None:
        self._layout = layout
        self._known = known
        self._asked = asked
        self._work: SimpleQueue[Work | BaseException] = SimpleQueue()
        self._watching: set[Client] = set()  # the progress
        self._listening: set[Client] = set()  # to notices
        self._notices: deque[tuple[Notice, bytes]] = deque(maxlen=MAX_NOTICES)  # with its message
        self._is_busy = False
        self._last = State.IDLE  # or SUCCESS or FAILURE
        self._latest: bytes | None = None  # of the progress of the installation that goes on
        self._clients = Clients(broke=self._work.put)
        self._clients.accept(control, messages.SIZE, self._answer)
        self._clients.accept(progress, 0, self._welcome)

    def __enter__(self) -> Self:
        self._clients.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.stop()
        while not self._work.empty():
            work = self._work.get()
            if isinstance(work, Installation):
                work.stream.close()

    def work(self) -> Work:
        """Wait for something to do."""
        work = self._work.get()
        if isinstance(work, BaseException):
            raise work
        return work

    def tell(self, told: Progress | Notice) -> None:
        """Tell whoever watches; waits for nobody. A notice of IDLE says that the next may ask."""
        if isinstance(told, Progress):
            self._clients.post(lambda: self._tell_progress(told))
        else:
            self._clients.post(lambda: self._tell_notice(told))

    def _tell_progress(self, told: Progress) -> None:
        if told.state in (State.SUCCESS, State.FAILURE):
            self._last = told.state
        message = self._layout.pack(told)
        if self._is_busy:
            self._latest = message
        self._spread(self._watching, message, may_be_missed=told.state in _MAY_BE_MISSED)

    def _tell_notice(self, told: Notice) -> None:
        if told.state is State.IDLE:
            self._is_busy, self._latest = False, None
        message = messages.notice(told)
        self._notices.append((told, message))
        self._spread(self._listening, message, may_be_missed=False)

    def _spread(self, clients: set[Client], message: bytes, *, may_be_missed: bool) -> None:
        for client in clients:
            self._clients.put(client, message, may_be_missed=may_be_missed)

    def _still_here(self, clients: set[Client]) -> set[Client]:
        return {client for client in clients if client in self._clients}

    def _welcome(self, client: Client) -> None:
        """Somebody on the progress socket.

        It is told how it stands: swupdate-client comes here after its request was accepted, and by then that
        may have failed.
        """
        self._watching = self._still_here(self._watching) | {client}
        self._clients.put(client, self._layout.greeting)
        if self._latest:
            self._clients.put(client, self._latest)

    def _answer(self, client: Client) -> None:
        """Somebody on the control socket, who has said what he wants."""
        match kind := messages.type_of(client.said):
            case None:
                self._refuse(client, "it is none of SWUpdate's messages")
            case Type.REQ_INSTALL:
                self._answer_request(client)
            case Type.GET_STATUS:
                self._clients.finish(client, messages.answer(self._status()))
            case Type.NOTIFY_STREAM:
                self._answer_listener(client)
            case _ if kind in self._known:
                self._clients.finish(client, messages.answer(self._known[kind]))
            case _ if kind in self._asked and not self._is_busy:
                self._ask(client, kind)
            case _ if kind in self._asked:
                self._refuse(client, "an installation is going on")
            case _:
                self._refuse(client, "there is no such thing here")

    def _answer_request(self, client: Client) -> None:
        if self._is_busy:
            self._refuse(client, "another installation is going on")
            return
        try:
            request = messages.parse_request(client.said)
        except ConfigError as error:
            self._refuse(client, str(error))
            return
        self._is_busy = True
        self._notices.clear()
        self._work.put(Installation(request, Stream(self._clients.release(client))))

    def _status(self) -> bytes:
        """With the oldest notice, which nobody else gets: the tools ask until there is none."""
        if self._notices:
            notice, _ = self._notices.popleft()
            return messages.status(notice.state, self._last, notice.error, notice.text)
        now = State.RUN if self._is_busy else State.IDLE
        return messages.status(now, self._last, self._last is State.FAILURE, "")

    def _answer_listener(self, client: Client) -> None:
        self._listening = self._still_here(self._listening) | {client}
        client.listen()
        now = State.RUN if self._is_busy else State.IDLE
        self._clients.put(client, messages.answer(messages.status(now, self._last, 0, "")))
        for _, message in self._notices:
            self._clients.put(client, message)

    def _ask(self, client: Client, kind: Type) -> None:
        def answer(message: bytes) -> None:
            self._clients.post(lambda: self._clients.finish(client, message))

        client.deadline = None
        self._work.put(Question(kind, client.said, answer))

    def _refuse(self, client: Client, why: str) -> None:
        _log.warning("%s is refused: %s", messages.name_of(client.said), why)
        self._clients.finish(client, messages.refusal(why))
