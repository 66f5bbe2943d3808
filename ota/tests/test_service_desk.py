"""The service's clients: whatever they do, it has a bound, and nobody else waits."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import UpdateError
from ota.service import client, clients, messages, stream
from ota.service.desk import Desk, Installation, Question
from ota.service.messages import LAYOUTS, Level, Notice, Progress, State, Type
from ota.tests.service import answer, connect, exactly, message, text_of, until

REQUEST = message(Type.REQ_INSTALL, (1).to_bytes(4, sys.byteorder))
IDLE = Notice(State.IDLE, Level.INFO, "idle")
LAYOUT = LAYOUTS["2024.12"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.ExitStack() as opened:
        control, progress = (
            opened.enter_context(listening(tmp_path / name)) for name in ("control", "progress")
        )
        known = {Type.GET_HW_REVISION: messages.revision("demo", "1")}
        asked = frozenset({Type.GET_UPDATE_STATE})
        yield opened.enter_context(Desk(control, progress, LAYOUT, known, asked))


def listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(128)
    return made


def control(tmp_path: Path) -> socket.socket:
    return connect(tmp_path / "control")


def watch(tmp_path: Path) -> socket.socket:
    watching = connect(tmp_path / "progress")
    assert exactly(watching, 8) == LAYOUT.greeting
    return watching


def states(watching: socket.socket) -> Iterator[State]:
    """As they come."""
    while data := exactly(watching, LAYOUT.message.size):
        yield State(LAYOUT.message.unpack(data)[1])


def begin(desk: Desk, tmp_path: Path) -> socket.socket:
    sending = control(tmp_path)
    sending.sendall(REQUEST)
    work = desk.work()
    assert isinstance(work, Installation)
    work.stream.begin(messages.answer())
    assert answer(sending)[0] is Type.ACK
    return sending


def status(tmp_path: Path) -> tuple[int, str]:
    with control(tmp_path) as asking:
        asking.sendall(message(Type.GET_STATUS))
        _, data = answer(asking)
    return int.from_bytes(data[:4], sys.byteorder), text_of(data[12:])


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in Type
        if kind not in (Type.REQ_INSTALL, Type.GET_STATUS, Type.NOTIFY_STREAM, Type.GET_HW_REVISION)
        and kind is not Type.GET_UPDATE_STATE
    ],
)
def test_what_is_not_known_is_refused_and_logged(
    desk: Desk, tmp_path: Path, kind: Type, caplog: pytest.LogCaptureFixture
) -> None:
    with control(tmp_path) as asking:
        asking.sendall(message(kind, b"\xff" * 3000))
        assert answer(asking)[0] is Type.NACK
        assert exactly(asking, 1) == b""
    assert f"{kind.name} is refused" in caplog.text


def test_garbage_is_refused(desk: Desk, tmp_path: Path) -> None:
    with control(tmp_path) as asking:
        asking.sendall(os.urandom(messages.SIZE))
        assert answer(asking)[0] is Type.NACK


def test_a_message_may_come_in_pieces(desk: Desk, tmp_path: Path) -> None:
    with control(tmp_path) as asking:
        whole = message(Type.GET_HW_REVISION)
        for start in range(0, len(whole), 1000):
            asking.sendall(whole[start : start + 1000])
            time.sleep(0.01)
        assert text_of(answer(asking)[1]) == "demo"


def test_half_a_message_holds_up_nobody_and_is_given_up(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "PATIENCE_S", 0.2)
    with control(tmp_path) as silent, control(tmp_path) as half:
        half.sendall(b"x" * 100)
        assert status(tmp_path) == (State.IDLE, "")
        assert exactly(silent, 1) == exactly(half, 1) == b""


def test_what_follows_a_request_is_the_package(desk: Desk, tmp_path: Path) -> None:
    with control(tmp_path) as sending:
        sending.sendall(REQUEST + b"070702 and so on")
        work = desk.work()
        assert isinstance(work, Installation)
        assert work.stream.read(100) == b"070702 and so on"


def test_a_second_request_is_refused_until_the_first_is_done(desk: Desk, tmp_path: Path) -> None:
    begin(desk, tmp_path).close()
    for _ in range(2):
        with control(tmp_path) as second:
            second.sendall(REQUEST)
            assert answer(second)[0] is Type.NACK
    desk.tell(IDLE)
    begin(desk, tmp_path).close()


def test_questions_are_answered_when_there_is_time(desk: Desk, tmp_path: Path) -> None:
    with control(tmp_path) as asking:
        asking.sendall(message(Type.GET_UPDATE_STATE))
        question = desk.work()
        assert isinstance(question, Question)
        assert status(tmp_path) == (State.IDLE, "")
        question.answer(messages.answer(b"2"))
        assert answer(asking)[1][:1] == b"2"


def test_who_asks_for_the_status_is_told_one_notice_after_the_other(desk: Desk, tmp_path: Path) -> None:
    begin(desk, tmp_path).close()
    assert status(tmp_path) == (State.RUN, "")
    for text in ("one", "two"):
        desk.tell(Notice(State.RUN, Level.INFO, text))
    desk.tell(IDLE)
    until(lambda: status(tmp_path) == (State.RUN, "one"))
    assert [status(tmp_path) for _ in range(3)] == [
        (State.RUN, "two"),
        (State.IDLE, "idle"),
        (State.IDLE, ""),
    ]


def test_what_nobody_asks_for_is_forgotten(desk: Desk, tmp_path: Path) -> None:
    for number in range(500):
        desk.tell(Notice(State.RUN, Level.INFO, str(number)))
    desk.tell(IDLE)
    with watch(tmp_path):  # by now all is told
        assert status(tmp_path) == (State.RUN, "451")


def test_who_comes_late_is_told_how_it_stands(desk: Desk, tmp_path: Path) -> None:
    begin(desk, tmp_path).close()
    for told, expected in ((Progress(State.RUN), State.RUN), (Progress(State.FAILURE), State.FAILURE)):
        desk.tell(told)
        status(tmp_path)  # by now it was told
        with watch(tmp_path) as late:
            assert next(states(late)) is expected


def test_who_comes_later_is_told_nothing_of_what_is_over(desk: Desk, tmp_path: Path) -> None:
    begin(desk, tmp_path).close()
    for told in (Progress(State.FAILURE), IDLE, Progress(State.DONE)):
        desk.tell(told)
    status(tmp_path)
    with watch(tmp_path) as late:
        late.settimeout(0.1)
        with pytest.raises(TimeoutError):
            late.recv(1)


def test_an_installation_begins_with_its_own_notices(desk: Desk, tmp_path: Path) -> None:
    desk.tell(Notice(State.FAILURE, Level.ERROR, "of another one"))
    status_before = status(tmp_path)
    desk.tell(Notice(State.FAILURE, Level.ERROR, "of another one"))
    begin(desk, tmp_path).close()
    assert status_before in ((State.FAILURE, "of another one"), (State.IDLE, ""))
    assert status(tmp_path) == (State.RUN, "")


def test_dead_and_slow_watchers_hold_up_nobody(desk: Desk, tmp_path: Path) -> None:
    """They read nothing, of thousands of messages; one hangs up; and one reads everything."""
    slow = [watch(tmp_path) for _ in range(20)]
    watch(tmp_path).close()
    good = watch(tmp_path)
    seen: list[State] = []
    reading = threading.Thread(target=lambda: seen.extend(states(good)))
    reading.start()
    start = time.monotonic()
    for number in range(5000):
        desk.tell(Progress(State.PROGRESS, percent=number % 100))
    desk.tell(Progress(State.SUCCESS))
    assert time.monotonic() - start < 5
    until(lambda: State.SUCCESS in seen)
    good.shutdown(socket.SHUT_RDWR)
    reading.join()
    # The slow ones miss progress, but not how it ended.
    for watching in slow:
        told: list[State] = []
        while not told or told[-1] is not State.SUCCESS:
            told.append(next(states(watching)))
        assert len(told) < 5000
        watching.close()


def test_who_does_not_even_read_what_matters_is_given_up(desk: Desk, tmp_path: Path) -> None:
    with watch(tmp_path) as slow:
        for _ in range(1000):
            desk.tell(Progress(State.RUN))
        assert len(list(states(slow))) < 1000  # and then its connection ends


def test_there_are_not_too_many_clients(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    here = [watch(tmp_path) for _ in range(clients.MAX_CLIENTS)]
    with connect(tmp_path / "progress") as refused:
        assert exactly(refused, 1) == b""
    for watching in here:
        watching.close()
    until(lambda: len(os.listdir("/proc/self/fd")) == before)
    assert status(tmp_path) == (State.IDLE, "")


def test_the_end_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    with listening(tmp_path / "control") as one, listening(tmp_path / "progress") as two:
        with Desk(one, two, LAYOUT, {}, frozenset()) as desk, control(tmp_path) as sending:
            watching = watch(tmp_path)
            sending.sendall(REQUEST)
            until(lambda: status(tmp_path) == (State.RUN, ""))  # nobody takes this one up any more
            desk.tell(Progress(State.FAILURE))
        assert list(states(watching)) == [State.FAILURE]
        watching.close()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_a_fault_of_the_connections_ends_the_service(desk: Desk, tmp_path: Path) -> None:
    desk.tell(Progress(State.RUN, percent=-1))  # cannot be packed
    with pytest.raises(Exception, match="argument"):
        desk.work()


def test_a_package_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENCE_S", 0.1)
    ours, its = socket.socketpair()
    with its, contextlib.closing(stream.Stream(ours)) as package:
        its.sendall(b"0707")
        assert package.read(100) == b"0707"
        with pytest.raises(UpdateError, match="archive-truncated"):
            package.read(100)


def test_a_client_that_sends_for_ever_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DRAIN_S", 0.2)
    ours, its = socket.socketpair()

    def flood() -> None:
        with contextlib.suppress(OSError):
            while True:
                its.sendall(bytes(1 << 16))

    flooding = threading.Thread(target=flood)
    flooding.start()
    package = stream.Stream(ours)
    package.drain()
    package.close()
    flooding.join()
    its.close()


def test_what_may_be_missed_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_WAITING", 3)
    ours, its = socket.socketpair()
    with ours, its:
        told = client.Client(ours, 0, lambda _: None)
        told.put(bytes(1 << 20), may_be_missed=False)  # fills the kernel's buffer
        for text in (b"a", b"b", b"c"):
            told.put(text, may_be_missed=text != b"b")
        told.put(b"d", may_be_missed=False)
        its.settimeout(1)
        rest = b""
        while not told.was_told:
            rest += its.recv(1 << 20)
            told.send()
        while len(rest) < (1 << 20) + 2:
            rest += its.recv(1 << 20)
        assert bool(rest.lstrip(b"\0") == b"bd")
