"""The two listening sockets: systemd's, or our own where SWUpdate's tools look for them.

swupdate: ipc/network_ipc.c, get_ctrl_socket; core/network_utils.c, listener_create. Debian's socket unit
hands both over, in /run/swupdate.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import DeviceError

CONTROL: Final = "sockinstctrl"
PROGRESS: Final = "swupdateprog"
MODE: Final = 0o666  # as SWUpdate's own: who may install is decided by the signature

_FIRST_FD: Final = 3  # sd_listen_fds(3)
_MAX_FDS: Final = 16
_BACKLOG: Final = 64


@dataclass(frozen=True, slots=True)
class Sockets:
    """Both, listening."""

    control: socket.socket
    progress: socket.socket


def folder_of(environment: Mapping[str, str]) -> Path:
    """Where the tools look for the sockets."""
    return Path(environment.get("RUNTIME_DIRECTORY") or environment.get("TMPDIR") or "/tmp")  # noqa: S108


@contextlib.contextmanager
def listen(folder: Path, environment: Mapping[str, str]) -> Iterator[Sockets]:
    """Take the sockets that systemd made, or make them in `folder` for as long as this lasts.

    Raises:
        DeviceError: "service-socket": they cannot be made, or another service listens there.
    """
    with contextlib.ExitStack() as opened:
        given = _given(environment)
        found = [
            opened.enter_context(given[name]) if name in given else opened.enter_context(_made(folder / name))
            for name in (CONTROL, PROGRESS)
        ]
        yield Sockets(*found)


def _given(environment: Mapping[str, str]) -> dict[str, socket.socket]:
    """By the name of their files (sd_listen_fds(3); names of descriptors are the unit's own affair)."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return {}
    try:
        given = [socket.socket(fileno=fd) for fd in range(_FIRST_FD, _FIRST_FD + min(int(count), _MAX_FDS))]
        for each in given:
            each.set_inheritable(False)
    except OSError as error:
        raise DeviceError("service-socket", f"what LISTEN_FDS names: {error.strerror}") from error
    return {Path(str(each.getsockname())).name: each for each in given}


@contextlib.contextmanager
def _made(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        try:
            _remove_dead(path)
            listening.bind(str(path))
            path.chmod(MODE)
            listening.listen(_BACKLOG)
        except OSError as error:
            raise DeviceError("service-socket", f"{path}: {error.strerror or error}") from error
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _remove_dead(path: Path) -> None:
    """Remove what a service that was killed left behind."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise DeviceError("service-socket", f"{path}: another service listens there", hint="stop swupdate")
