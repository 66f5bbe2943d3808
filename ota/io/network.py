"""How servers are reached: the settings, and failures that are not the end.

What talks to servers (`session`, `transfer`) is loaded when something is fetched: requests takes longer to
load than all else together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ota.errors import NetworkError

CONNECTIONS: Final = 64  # to one server; more is not polite
CONNECTION: Final = 48 << 10  # bytes of memory that one takes, about; thread and TLS included
MIN_CONNECTIONS: Final = 4
MIN_IN_FLIGHT: Final = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one server is shown."""

    headers: Mapping[str, str] = field(default_factory=dict)  # Authorization, an API key
    certificate: Path | None = None  # of this client, for TLS
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """How servers are reached."""

    ca: Path | None = None  # certificates that may sign a server's; default: the system's
    proxy: str | None = None  # http://host:port
    credentials: Mapping[str, Credentials] = field(default_factory=dict)  # by host or host:port
    mirrors: tuple[str, ...] = ()  # folders that hold the same files, asked where the first server fails
    refresh: tuple[str, ...] = ()  # command that prints the URL to ask, given the published one
    timeout_s: float = 30.0  # of a connection attempt, and of silence
    retries: int = 5  # in a row without a byte gained
    backoff_s: float = 0.5  # before the first retry; doubled each time
    max_rate: int | None = None  # bytes/s, all connections together
    connections: int = CONNECTIONS  # to one server, at most
    in_flight: int = 2816 << 10  # bytes asked for and not yet used: what a power cut costs, at most

    def within(self, memory: int) -> Network:
        """The same with no more in flight than so many bytes of memory hold, but enough to go on."""
        in_flight = min(self.in_flight, max(memory, MIN_IN_FLIGHT))
        connections = min(self.connections, max((memory - in_flight) // CONNECTION, MIN_CONNECTIONS))
        return replace(self, in_flight=in_flight, connections=connections)


class BrokenError(Exception):
    """The transfer stopped in a way that is worth another try, after `wait_s` at the earliest."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class ExpiredError(Exception):
    """The server wants other credentials than this URL has; a fresh URL may help."""

    def __init__(self, error: NetworkError) -> None:
        super().__init__(str(error))
        self.error = error


def origin(url: str) -> str:
    """`host:port` of a URL; without the port where it is the scheme's own.

    Raises:
        NetworkError: "http-protocol".
    """
    from urllib.parse import urlsplit  # takes longer to load than the rest of this module

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise NetworkError("http-protocol", f"URL: {error}", found=url) from error
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return host if port in (None, default) else f"{host}:{port}"
