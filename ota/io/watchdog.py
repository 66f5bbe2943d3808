"""A hardware watchdog that is fed while there is progress, and systemd's beside it.

Linux, Documentation/watchdog/watchdog-api.rst: opening the device starts it; every write feeds it; 'V' as the
last byte before it is closed stops it, unless the driver was told "nowayout". So an agent that dies or hangs
leaves it running, and the board is reset.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ota.errors import DeviceError

_WDIOC_SETTIMEOUT: Final = 0xC0045706  # linux/watchdog.h: _IOWR('W', 6, int)
_MAGIC_CLOSE: Final = b"V"

_log = logging.getLogger(__name__)

Alive = Callable[[], None]
"""To be called with every step of the work."""


@dataclass(frozen=True, slots=True)
class Watchdog:
    """[watchdog] of device.toml."""

    device: Path
    timeout_s: int = 60  # after which it resets the board
    limit_s: int = 900  # that one step of the work may take; afterwards it is no longer fed
    keep: bool = False  # feed it on when the work is done: nobody else does


@contextmanager
def fed(watchdog: Watchdog | None, environment: Mapping[str, str]) -> Iterator[Alive]:
    """Feed whatever watchdogs there are, as long as the answer is called often enough.

    At a clean end the device is stopped and closed, so that somebody else can have it.

    Args:
        environment: of the process: where systemd says that it wants to be fed (sd_notify(3)).
    """
    feeds: list[Callable[[], None]] = []
    stopping: list[int] = []
    with ExitStack() as stack:
        if watchdog:
            device = _open(watchdog.device)
            if device is not None:
                stack.callback(os.close, device)  # without the magic close where we do not end cleanly
                _set_timeout(device, watchdog)
                feeds.append(partial(_write, device, b"\0"))
                stopping.append(device)
        if environment.get("WATCHDOG_USEC") and environment.get("NOTIFY_SOCKET"):
            feeds.append(partial(_notify, environment["NOTIFY_SOCKET"]))
        if not feeds:
            yield lambda: None
            return
        feeder = _Feeder(feeds, *_times(watchdog, environment))
        try:
            yield feeder.alive
        except KeyboardInterrupt:  # somebody wants us to end
            feeder.end()
            _stop(stopping)
            raise
        finally:
            feeder.end()
        _stop(stopping)


def keep(alive: Alive) -> None:
    """Go on until the process is told to end."""
    ended = threading.Event()
    while not ended.wait(1.0):
        alive()


class _Feeder:
    """A thread that feeds until it is told to end, or nobody said for too long that he is alive."""

    def __init__(self, feeds: list[Callable[[], None]], interval_s: float, limit_s: float) -> None:
        self._feeds = feeds
        self._interval_s = interval_s
        self._limit_s = limit_s
        self._last = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def alive(self) -> None:
        self._last = time.monotonic()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            if time.monotonic() - self._last > self._limit_s:
                _log.error("no progress in %d s: the watchdog is no longer fed", self._limit_s)
                return
            for feed in self._feeds:
                feed()
            if self._ended.wait(self._interval_s):
                return


def _times(watchdog: Watchdog | None, environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds between two feedings, and that may pass without progress."""
    wanted = [float(watchdog.timeout_s)] if watchdog else []
    if environment.get("WATCHDOG_USEC", "").isdecimal():
        wanted.append(int(environment["WATCHDOG_USEC"]) / 1e6)
    return min(wanted, default=30.0) / 3, (watchdog or Watchdog(Path())).limit_s


def _open(device: Path) -> int | None:
    try:
        return os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:  # systemd's RuntimeWatchdogSec, or another daemon
            _log.debug("%s is fed by somebody else", device)
            return None
        _log.error("%s", DeviceError("watchdog", f"{device} cannot be opened: {error.strerror}"))
        return None


def _set_timeout(device: int, watchdog: Watchdog) -> None:
    try:
        fcntl.ioctl(device, _WDIOC_SETTIMEOUT, struct.pack("i", watchdog.timeout_s))
    except OSError as error:  # not every driver can; it has one of its own
        _log.debug("%s keeps its own timeout: %s", watchdog.device, error.strerror)


def _stop(devices: list[int]) -> None:
    for device in devices:
        _write(device, _MAGIC_CLOSE)


def _write(device: int, data: bytes) -> None:
    try:
        os.write(device, data)
    except OSError as error:
        _log.error("the watchdog cannot be fed: %s", error.strerror)


def _notify(address: str) -> None:
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"WATCHDOG=1", name)
    except OSError as error:
        _log.error("systemd cannot be told that we are alive: %s", error.strerror)
