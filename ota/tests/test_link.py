"""The slow line is never faster than it says, and not much slower."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from ota.tests.link import BLOCK, READY_S, Counts, Link

PATIENCE = 3  # times as long as it should take: machines are noisy

Talk = Callable[[socket.socket], None]


@contextmanager
def server(talk: Talk) -> Iterator[int]:
    """A port whose every connection is handled by `talk`, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, ThreadPoolExecutor(80) as pool:

        def handle(connection: socket.socket) -> None:
            with connection:
                talk(connection)

        def accept() -> None:
            while True:
                try:
                    pool.submit(handle, listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def says(size: int) -> Talk:
    """Answers whatever it is told with so many bytes."""

    def talk(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(bytes(size))

    return talk


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60)


def ask(port: int) -> int:
    """How many bytes are answered."""
    with connect(port) as connection:
        connection.sendall(b"?")
        return sum(map(len, iter(lambda: connection.recv(1 << 16), b"")))


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    received = b""
    while len(received) < size:
        received += connection.recv(1 << 16)
    return received


def timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_bytes_arrive_unchanged_and_are_counted() -> None:
    data = bytes(range(256)) * 4000
    with server(echo) as port, Link(port) as link:
        with connect(link.port) as connection:
            threading.Thread(target=connection.sendall, args=(data,)).start()
            received = receive(connection, len(data))
        assert bool(received == data)
        assert link.counts() == Counts(connections=1, down=len(data), up=len(data))


def test_a_connection_costs_a_round_trip_and_each_question_one_more() -> None:
    with server(echo) as port, Link(port, rtt_ms=100) as link, connect(link.port) as connection:

        def question() -> None:
            connection.sendall(b"?")
            connection.recv(1)

        assert 0.2 <= timed(question) < 0.2 * PATIENCE
        assert 0.1 <= timed(question) < 0.1 * PATIENCE


@pytest.mark.parametrize("connections", [1, 64])
def test_all_connections_share_the_rate(connections: int) -> None:
    size = (1 << 20) // connections
    with server(says(size)) as port, Link(port, rate=10e6) as link:

        def all_of_them() -> None:
            with ThreadPoolExecutor(connections) as pool:
                assert list(pool.map(ask, [link.port] * connections)) == [size] * connections

        expected_s = size * connections * 8 / 10e6
        assert expected_s <= timed(all_of_them) < expected_s * PATIENCE
        assert link.counts().connections == connections


def test_connections_take_turns() -> None:
    """What one of them asked for long before does not keep the other waiting."""
    with server(says(1 << 20)) as port, Link(port, rate=10e6) as link:
        with connect(link.port) as first:
            first.sendall(b"?")
            time.sleep(0.2)
            before = time.monotonic()
            with connect(link.port) as second:
                second.sendall(b"?")
                second.recv(1)
        assert time.monotonic() - before < 0.4  # the first one's answer takes 0.8 s


def test_both_directions_have_a_rate_of_their_own() -> None:
    data = bytes(250_000)
    with server(echo) as port, Link(port, up=10e6) as link, connect(link.port) as connection:

        def there_and_back() -> None:
            connection.sendall(data)
            receive(connection, len(data))

        assert 0.2 <= timed(there_and_back) < 0.2 * PATIENCE


@pytest.mark.parametrize("drop_after", [1, BLOCK, 100_001])
def test_each_connection_ends_after_so_many_bytes(drop_after: int) -> None:
    with server(says(1 << 20)) as port, Link(port, drop_after=drop_after) as link:
        assert [ask(link.port), ask(link.port)] == [drop_after] * 2
        assert link.counts() == Counts(connections=2, down=2 * drop_after, up=2)


def test_what_a_client_does_not_wait_for_does_not_use_the_line() -> None:
    with server(says(100 << 20)) as port, Link(port, rtt_ms=100, rate=10e6) as link:
        with connect(link.port) as connection:
            connection.sendall(b"?")
            connection.recv(1)
        time.sleep(0.3)
        after = link.counts()
        time.sleep(0.3)
        assert link.counts() == after
        left_before = 0.05 + READY_S  # half a round trip passes before the server knows
        assert after.down <= (PATIENCE * left_before) * 10e6 / 8 + BLOCK


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens there
        with Link(taken.getsockname()[1]) as link, pytest.raises(ConnectionError):
            ask(link.port)
