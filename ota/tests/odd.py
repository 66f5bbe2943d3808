"""A web server that answers as it is told: for what no ordinary server does on demand."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Behaviour = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request, with what a behaviour needs to answer it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; the second need not wait
    server: Odd

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range", ""))
        self.server.behaviour(self)

    def log_message(self, *_: object) -> None:
        """Silence."""

    @property
    def file(self) -> bytes:
        return self.server.file

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Half-open; `bytes=N-`, as curl goes on after a break, reaches to the end."""
        pairs = re.findall(r"(\d+)-(\d*)", self.headers.get("Range", ""))
        return [(int(first), int(last) + 1 if last else len(self.file)) for first, last in pairs]

    def answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.write(body)

    def write(self, body: bytes) -> None:
        try:
            self.wfile.write(body)
            self.server.sent += len(body)
        except OSError:  # the client has heard enough
            self.close_connection = True

    def whole(self, body: bytes | None = None) -> None:
        self.answer(200, self.file if body is None else body)

    def single(self, start: int, stop: int, body: bytes | None = None, total: int | None = None) -> None:
        where = f"bytes {start}-{stop - 1}/{len(self.file) if total is None else total}"
        self.answer(206, self.file[start:stop] if body is None else body, Content_Range=where)

    def multi(
        self,
        parts: list[tuple[int, int]],
        kind: str = "multipart/byteranges; boundary=frontier",
        end: bytes = b"\r\n",
        before: bytes | None = None,
        preamble: bytes = b"",
    ) -> None:
        body = b"".join(
            (end if before is None else before)
            + b"--frontier%bContent-Range: bytes %d-%d/%d%b%b%b"
            % (end, a, b - 1, len(self.file), end, end, self.file[a:b])
            for a, b in parts
        )
        self.answer(206, preamble + body + end + b"--frontier--" + end, Content_Type=kind)

    def properly(self) -> None:
        """As a good server does it."""
        asked = self.ranges
        unchanged = self.headers.get("If-Range") in (None, self.server.etag)
        if not asked or not unchanged:
            self.whole()
        elif len(asked) > 1:
            self.multi(asked)
        else:
            self.single(*asked[0])

    def slowly(self, body: bytes, bytes_a_second: float) -> None:
        """Send what follows a head at a crawl, for as long as anybody listens."""
        for place in range(len(body)):
            if self.close_connection or self.server.closing:
                return
            self.write(body[place : place + 1])
            time.sleep(1 / bytes_a_second)


class Odd(ThreadingHTTPServer):
    """Serves one file, with one behaviour, until closed.

    Attributes:
        asked: the Range header of each request so far.
        sent: bytes of bodies so far.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, file: bytes, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.file = file
        self.behaviour = behaviour
        self.etag = ""
        self.asked: list[str] = []
        self.sent = 0
        self.closing = False
        self._scheme = "http"
        if tls:
            # The handshake belongs to the connection's own thread, not to the one that accepts.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self._scheme = "https"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.server_port}/file"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up, or does not like our certificate, is what these tests are about."""

    def close(self) -> None:
        self.closing = True
        self.shutdown()
        self._thread.join()
        self.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
