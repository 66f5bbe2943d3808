"""A real web server for tests: nginx over TLS on loopback, with an access log that can be counted."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import trustme

_CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn; {user}
events {{ worker_connections 256; }}
http {{
    log_format line '$request_method $uri $status $body_bytes_sent "$http_range" $connection';
    access_log {folder}/access.log line;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
        root {root}; {extra}
    }}
    server {{ listen 127.0.0.1:{plain_port}; root {root}; {extra} }}
}}
"""

_SETTLED = "/-settled"
ATTEMPTS = 5  # a port that was free a moment ago may be somebody else's by now


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the access log."""

    method: str
    path: str
    status: int
    body: int  # bytes, as sent
    ranges: str
    connection: int

    @property
    def range_bytes(self) -> int:
        """Bytes of the file that were asked for by range."""
        pairs = re.findall(r"(\d+)-(\d+)", self.ranges)
        return sum(int(last) - int(first) + 1 for first, last in pairs)


class Server:
    """Serves `root` until closed.

    Args:
        folder: for its own files.
        nginx: the program.
        extra: lines for the server block, such as "max_ranges 1;".
        names: of its certificate: hosts and addresses.
    """

    def __init__(
        self, folder: Path, root: Path, nginx: Path, extra: str = "", names: Sequence[str] = ("localhost",)
    ) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.ca = folder / "tls-ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        for _ in range(ATTEMPTS):
            self.port, self.plain_port = free_ports(2)
            self._process = self._start(root, nginx, extra)
            if self._is_up():
                return
        raise RuntimeError((folder / "error.log").read_text())

    @property
    def url(self) -> str:
        """Of `root`, over TLS."""
        return f"https://localhost:{self.port}"

    @property
    def plain_url(self) -> str:
        """Of `root`, without TLS."""
        return f"http://127.0.0.1:{self.plain_port}"

    def requests(self) -> list[Request]:
        """What was answered so far."""
        self._settle()
        pattern = re.compile(r'(\S+) (\S+) (\d+) (\d+) "([^"]*)" (\d+)')
        lines = map(pattern.fullmatch, (self._folder / "access.log").read_text().splitlines())
        return [
            Request(line[1], line[2], int(line[3]), int(line[4]), line[5], int(line[6]))
            for line in lines
            if line and line[2] != _SETTLED
        ]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settle(self) -> None:
        """nginx writes a request's line after its last byte, but before its one worker turns to the next."""
        connection = http.client.HTTPConnection("127.0.0.1", self.plain_port, timeout=10)
        connection.request("HEAD", _SETTLED)
        connection.getresponse()
        connection.close()

    def _start(self, root: Path, nginx: Path, extra: str) -> subprocess.Popen[bytes]:
        folder, config = self._folder, self._folder / "nginx.conf"
        user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
        config.write_text(
            _CONFIG.format(
                folder=folder, root=root, port=self.port, plain_port=self.plain_port, extra=extra, user=user
            )
        )
        return subprocess.Popen([nginx, "-p", folder, "-c", config, "-e", folder / "error.log"])

    def _is_up(self) -> bool:
        """Wait until it answers, or has ended."""
        context = ssl.create_default_context(cafile=str(self.ca))
        while self._process.poll() is None:
            try:
                with socket.create_connection(("localhost", self.port)) as plain:
                    context.wrap_socket(plain, server_hostname="localhost").close()
                return True
            except OSError:
                time.sleep(0.05)
        return False


def free_ports(count: int) -> list[int]:
    """Different ports on loopback that nobody uses at the moment."""
    with ExitStack() as open_ones:
        probes = [open_ones.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]
