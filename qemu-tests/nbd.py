"""An NBD server on a unix socket: the protocol, and nothing of what a disk does with its bytes.

Fixed newstyle, simple replies (NetworkBlockDevice/nbd: doc/proto.md). One thread a connection; requests are
answered in the order in which they come, so an acknowledged flush covers every write that was acknowledged.

    request   u32 magic, u16 flags, u16 type, u64 cookie, u64 offset, u32 length, [data]
    reply     u32 magic, u32 error, u64 cookie, [data]
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from enum import IntEnum
from io import BufferedReader
from pathlib import Path
from typing import Final, Protocol

from ota.interfaces import Reader

_INIT: Final = b"NBDMAGICIHAVEOPT"
_REPLY_OPTION: Final = 0x3E889045565A9
_REPLY: Final = 0x67446698
_REQUEST: Final = 0x25609513
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_HAS_FLAGS, _SEND_FLUSH, _SEND_FUA = 1, 4, 8
_FUA: Final = 1  # of a request's flags
_INFO_EXPORT, _INFO_BLOCK_SIZE = 0, 3
_ACK, _INFO, _UNSUPPORTED = 1, 3, 0x80000001
_PREFERRED_BLOCK, _MAX_BLOCK = 4096, 32 << 20  # bytes
_EINVAL: Final = 22


class _Option(IntEnum):
    EXPORT_NAME = 1
    ABORT = 2
    INFO = 6
    GO = 7


class _Type(IntEnum):
    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3


class GoneError(Exception):
    """The device is no longer there: the connection ends without an answer."""


class Device(Protocol):
    """What is served. Each call may raise `GoneError`."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def block(self) -> int:
        """Bytes; offsets and lengths are multiples of it."""

    @property
    def has_cache(self) -> bool:
        """Whether flushes mean anything to it."""

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: bytes, *, fua: bool) -> None: ...

    def flush(self) -> None: ...


@contextlib.contextmanager
def serving(device: Device, path: Path) -> Iterator[None]:
    """Serve a device at a socket, to whoever connects."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_accept, args=(device, listening), daemon=True)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # `close` alone does not end an `accept`
            thread.join()
            path.unlink()


def _accept(device: Device, listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(device, connection), daemon=True).start()


def _serve(device: Device, connection: socket.socket) -> None:
    ends = contextlib.suppress(GoneError, OSError, EOFError)
    with connection, BufferedReader(connection.makefile("rb", 0), 1 << 20) as requests, ends:
        if _agree(device, connection, requests):
            while _answer(device, connection, requests):
                pass


def _agree(device: Device, connection: socket.socket, requests: Reader) -> bool:
    """The handshake; whether the client goes on to transmission."""
    connection.sendall(_INIT + struct.pack(">H", _FIXED_NEWSTYLE | _NO_ZEROES))
    _read(requests, 4)
    while True:
        _, option, length = struct.unpack(">QII", _read(requests, 16))
        _read(requests, length)  # the export's name: there is one
        if option in (_Option.INFO, _Option.GO):
            flags = _HAS_FLAGS | (_SEND_FLUSH | _SEND_FUA if device.has_cache else 0)
            export = struct.pack(">HQH", _INFO_EXPORT, device.size, flags)
            blocks = struct.pack(">HIII", _INFO_BLOCK_SIZE, device.block, _PREFERRED_BLOCK, _MAX_BLOCK)
            replies = [(_INFO, export), (_INFO, blocks), (_ACK, b"")]
        else:
            replies = [(_ACK if option == _Option.ABORT else _UNSUPPORTED, b"")]
        for kind, data in replies:
            connection.sendall(struct.pack(">QIII", _REPLY_OPTION, option, kind, len(data)) + data)
        if option in (_Option.GO, _Option.ABORT):
            return bool(option == _Option.GO)


def _answer(device: Device, connection: socket.socket, requests: Reader) -> bool:
    """One request; whether more may follow."""
    magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQI", _read(requests, 28))
    assert magic == _REQUEST, hex(magic)
    data, error = b"", 0
    if kind == _Type.READ:
        data = device.read(offset, length)
    elif kind == _Type.WRITE:
        device.write(offset, _read(requests, length), fua=bool(flags & _FUA))
    elif kind == _Type.FLUSH:
        device.flush()
    elif kind == _Type.DISC:
        return False
    else:
        error = _EINVAL
    connection.sendall(struct.pack(">IIQ", _REPLY, error, cookie) + data)
    return True


def _read(requests: Reader, length: int) -> bytes:
    data = requests.read(length)
    if len(data) < length:
        raise EOFError
    return data
