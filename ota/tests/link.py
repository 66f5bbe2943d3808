"""A slow line before a server: a TCP proxy on loopback with a rate and a round trip, in a process of its own.

    with Link(server.port, rtt_ms=200, rate=10e6) as link:
        ...  # the server, on port link.port

The model: all connections share one line, which sends one block after the other, each connection's in turn.
A block leaves when the line is free and arrives half a round trip later. What a client does not take waits on
its side of the line, and when that is full, the server has to wait. A new connection costs one round trip
before its first byte leaves, as SYN and SYN-ACK do; TLS pays for its own by itself. Who hangs up stops the
other end half a round trip later, and what left in between has used the line.

Not in the model: loss, slow start, and the headers of TCP and IP, 3 to 4 % of a real line.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final, Self

BLOCK: Final = 16 << 10  # bytes that a connection sends before it is the next one's turn
WINDOW: Final = 2048  # blocks on their way on a connection: more than 100 Mbit/s hold in 600 ms
READY_S: Final = 0.005  # how much of the line's future is taken: timers are late, the line shall not idle
RECEIVE_BUFFER: Final = 64 << 10  # bytes; what the server has sent and the line not yet taken


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one line."""

    target: int  # port on 127.0.0.1
    port: int  # where it is to be found; 0: any that is free
    rtt_s: float
    down: float | None  # bit/s from the server; None: no limit
    up: float | None  # bit/s to the server
    drop_after: int | None  # bytes from the server after which each connection ends


@dataclass(frozen=True, slots=True)
class Counts:
    """What went over a line since it was made."""

    connections: int = 0
    down: int = 0  # bytes that reached the clients
    up: int = 0  # bytes that reached the server

    def __sub__(self, before: Counts) -> Counts:
        return Counts(self.connections - before.connections, self.down - before.down, self.up - before.up)


class Link:
    """A line to a server on loopback, until closed.

    Args:
        target: the server's port on 127.0.0.1.
        rtt_ms: round trip, milliseconds.
        rate: bit/s from the server, for all connections together; None: no limit.
        up: bit/s to the server.
        drop_after: bytes from the server after which each connection ends.
        port: where clients find it; default: any free one.
    """

    def __init__(
        self,
        target: int,
        *,
        rtt_ms: float = 0,
        rate: float | None = None,
        up: float | None = None,
        drop_after: int | None = None,
        port: int = 0,
    ) -> None:
        settings = Settings(target, port, rtt_ms / 1e3, rate, up, drop_after)
        # A process of its own: the threads of a test or bench would delay it, and it them.
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._answer())

    def counts(self) -> Counts:
        """What went over it so far."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counts(**json.loads(self._answer()))

    def close(self) -> None:
        self._process.communicate()  # the end of its input ends it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the link ended")
        return line


class _Line:
    """One direction of the line: when the bytes that are given to it have left, and when they arrive."""

    def __init__(self, rate: float | None, delay_s: float) -> None:
        self._rate = rate
        self._delay_s = delay_s
        self._turn = asyncio.Lock()  # first come, first served
        self._free_at = 0.0

    async def send(self, size: int) -> float:
        """Wait for the line; the answer is the time at which these bytes will have arrived."""
        now = asyncio.get_running_loop().time
        if self._rate is None or not size:
            return now() + self._delay_s
        async with self._turn:
            await asyncio.sleep(self._free_at - READY_S - now())
            self._free_at = max(self._free_at, now()) + size * 8 / self._rate
            return self._free_at + self._delay_s


class _Proxy:
    """Serves one port; each connection is two flows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._down = _Line(settings.down, settings.rtt_s / 2)
        self._up = _Line(settings.up, settings.rtt_s / 2)
        self._connections = 0
        self._delivered = {self._down: 0, self._up: 0}

    def counts(self) -> Counts:
        return Counts(self._connections, self._delivered[self._down], self._delivered[self._up])

    async def serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as connections:
            while True:
                client, _ = await loop.sock_accept(listener)
                self._connections += 1
                connections.create_task(self._connection(client))

    async def _connection(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            await asyncio.sleep(self._settings.rtt_s)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            with suppress(OSError):
                _prepare(client)
                _prepare(server)
                await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self._settings.target))
                up = self._flow(client, server, self._up, None)
                down = self._flow(server, client, self._down, self._settings.drop_after)
                await _until_one_ends(asyncio.create_task(up), asyncio.create_task(down))

    async def _flow(self, source: socket.socket, sink: socket.socket, line: _Line, limit: int | None) -> None:
        """Carry what a source says until the end of it, or a limit, has arrived."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW)
        arriving = asyncio.create_task(self._arrive(on_the_way, sink, line))
        try:
            while data := await _receive(source, BLOCK if limit is None else min(BLOCK, limit)):
                limit = None if limit is None else limit - len(data)
                await on_the_way.put((await line.send(len(data)), data))
            await on_the_way.put((await line.send(0), b""))
            await arriving
        finally:
            arriving.cancel()

    async def _arrive(
        self, on_the_way: asyncio.Queue[tuple[float, bytes]], sink: socket.socket, line: _Line
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await on_the_way.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                return
            # A sink that hung up says so in its own flow, and until then the line carries what was sent.
            with suppress(OSError):
                await loop.sock_sendall(sink, data)
                self._delivered[line] += len(data)


async def _until_one_ends(*flows: asyncio.Task[None]) -> None:
    """Either end's last word is the end of a connection."""
    try:
        await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for flow in flows:
            flow.cancel()
        await asyncio.wait(flows)


async def _receive(source: socket.socket, size: int) -> bytes:
    """Empty at the end, however it came."""
    with suppress(OSError):
        return await asyncio.get_running_loop().sock_recv(source, size) if size else b""
    return b""


def _prepare(connection: socket.socket) -> None:
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _run(settings: Settings) -> None:
    """Say the port, then answer each line of stdin with the counts, until stdin ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    proxy = _Proxy(settings)

    def answer() -> None:
        if asked := os.read(0, BLOCK):
            print((json.dumps(asdict(proxy.counts())) + "\n") * asked.count(b"\n"), end="", flush=True)
        else:
            loop.remove_reader(0)
            ended.set()

    with socket.create_server(("127.0.0.1", settings.port), backlog=128) as listener:
        listener.setblocking(False)
        print(listener.getsockname()[1], flush=True)
        loop.add_reader(0, answer)
        serving = asyncio.create_task(proxy.serve(listener))
        await ended.wait()
        serving.cancel()
        await asyncio.wait([serving])


if __name__ == "__main__":
    asyncio.run(_run(Settings(**json.loads(sys.argv[1]))))
