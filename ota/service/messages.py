"""What SWUpdate's tools and its daemon say to each other, byte by byte.

These are C structures as the machine's compiler lays them out, so 32-bit tools do not fit a 64-bit agent.

Control socket: the client sends one message, and gets one of the same length back
(swupdate: include/network_ipc.h, `ipc_message`):

    offset  size        field
    0       4           magic
    4       4           type
    8       3112        data, a union; 3096 bytes where size_t has 4

    data of REQ_INSTALL; the offsets in brackets where size_t has 4 bytes
    0       4 4 4       version of the interface: 1; who asks; 0 as the daemon likes, 1 dry run, 2 install
    16 (12) 8 (4)       length, not used
    24 (16) 512         information for those who watch
    536     256 256 1   software set, mode, "do not keep the .swu": not used
    1056    4 2048      length of, and further information, not used

    data of an answer to GET_STATUS          data of NOTIFY_STREAM
    0       4           state now            0       4           state
    4       4           last result          4       4           error
    8       4           error                8       4           log level
    12      2048        text                 12      2048        text

Progress socket: a greeting of 8 bytes (version of the interface, "ACK" and a NUL), then messages
(include/progress_ipc.h, `progress_msg`). Three layouts go under one version:

    up to 2024.05   no greeting
    2024.12         offset 16 for the bytes to download: 4 more than what stands before it takes (not on i386)
    from 2025.12    packed: no padding anywhere

Numbers of states, sources and log levels: include/swupdate_status.h, include/util.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ota.acceptance import Rules
from ota.errors import ConfigError
from ota.formats.selection import Selection

MAGIC: Final = 0x14052001
REQUEST_VERSION: Final = 1
PROGRESS_VERSION: Final = 2 << 16

_HEAD: Final = struct.Struct("@ii")
_REQUEST: Final = struct.Struct("@IIIN512s256s256s?0N")
_STATUS: Final = struct.Struct("@iii2048s")
_REVISION: Final = struct.Struct("@256s256s")
_VERSIONS: Final = struct.Struct("@256s256s256s256s")  # the last one, the update's type, from 2025.12 on
_INFO: Final = struct.Struct("@IiiI2048s")  # POST_UPDATE: source, command, timeout, length, text

SIZE: Final = struct.calcsize("@ii0N" + _REQUEST.format.removeprefix("@") + "I2048s0N")  # bytes
_DATA: Final = _HEAD.size  # where data starts


class Type(IntEnum):
    """Of a message on the control socket."""

    REQ_INSTALL = 0
    ACK = 1
    NACK = 2
    GET_STATUS = 3
    POST_UPDATE = 4
    SWUPDATE_SUBPROCESS = 5
    SET_AES_KEY = 6
    SET_UPDATE_STATE = 7
    GET_UPDATE_STATE = 8
    REQ_INSTALL_EXT = 9
    SET_VERSIONS_RANGE = 10
    NOTIFY_STREAM = 11
    GET_HW_REVISION = 12
    SET_SWUPDATE_VARS = 13
    GET_SWUPDATE_VARS = 14
    SET_DELTA_URL = 15


class State(IntEnum):
    """Of the daemon, or of what it tells."""

    IDLE = 0
    START = 1
    RUN = 2
    SUCCESS = 3
    FAILURE = 4
    DOWNLOAD = 5
    DONE = 6
    SUBPROCESS = 7
    PROGRESS = 8


class Level(IntEnum):
    """Of a log line."""

    ERROR = 1
    WARNING = 2
    INFO = 3
    DEBUG = 5


class Cause(IntEnum):
    """What a text on the progress socket is about: the key of its JSON object."""

    NONE = 0
    REBOOT_MODE = 1
    DRY_RUN = 2


@dataclass(frozen=True, slots=True)
class Request:
    """REQ_INSTALL: what a client wants installed, and how."""

    source: int
    dry_run: bool
    info: str
    selection: Selection | None


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for those who ask for the status, or listen to the log."""

    state: State
    level: Level
    text: str

    @property
    def error(self) -> int:
        return int(self.level is Level.ERROR)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an installation is."""

    state: State = State.IDLE
    download_percent: int = 0
    download_bytes: int = 0  # in all
    steps: int = 0
    step: int = 0  # from 1 on; 0 before the first
    percent: int = 0  # of this step
    image: str = ""
    handler: str = ""
    source: int = 0
    info: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the progress socket of some releases of SWUpdate looks."""

    greeting: bytes
    message: struct.Struct

    def pack(self, progress: Progress) -> bytes:
        info = _cut(progress.info, 2048)
        return self.message.pack(
            PROGRESS_VERSION,
            progress.state,
            progress.download_percent,
            progress.download_bytes,
            progress.steps,
            progress.step,
            progress.percent,
            _cut(progress.image, 256),
            _cut(progress.handler, 64),
            progress.source,
            len(info),
            info,
        )


_GREETING: Final = struct.pack("@I4s", PROGRESS_VERSION, b"ACK")
_FIELDS: Final = "IIIQIII256s64sII2048s"

# By the first release of SWUpdate whose tools understand it; ota.config.TOOLS has the same names.
LAYOUTS: Final[Mapping[str, Layout]] = {
    "2022.12": Layout(b"", struct.Struct(f"@{_FIELDS}0Q")),
    "2024.12": Layout(_GREETING, struct.Struct(f"@{_FIELDS}0Q")),
    "2025.12": Layout(_GREETING, struct.Struct(f"={_FIELDS}")),
}


def type_of(message: bytes) -> Type | None:
    """Of a message on the control socket; None where it is none of this protocol's."""
    magic, number = _HEAD.unpack_from(message)
    return Type(number) if magic == MAGIC and number in set(Type) else None


def name_of(message: bytes) -> str:
    """For the log."""
    kind = type_of(message)
    return kind.name if kind is not None else "a message that begins with " + message[: _HEAD.size].hex()


def parse_request(message: bytes) -> Request:
    """Read REQ_INSTALL.

    Raises:
        ConfigError: "config-value" for another version of the interface, or half a selection.
    """
    version, source, mode, _, info, software_set, running_mode, _ = _REQUEST.unpack_from(message, _DATA)
    if version != REQUEST_VERSION:
        raise ConfigError(
            "config-value", "the request's version", expected=str(REQUEST_VERSION), found=str(version)
        )
    words = _text(software_set), _text(running_mode)
    selection = Selection.parse(",".join(words)) if any(words) else None
    return Request(source, mode == 1, _text(info), selection)


def parse_state(message: bytes) -> str:
    """The value of `ustate` in SET_UPDATE_STATE: a C enumeration whose values are characters."""
    return chr(message[_DATA])


def parse_versions(message: bytes) -> Rules:
    """Read SET_VERSIONS_RANGE; an empty field says nothing.

    Raises:
        ConfigError: "config-value": it is for one type of updates.
    """
    lowest, highest, current, update_type = map(_text, _VERSIONS.unpack_from(message, _DATA))
    if update_type:
        raise ConfigError(
            "config-value",
            "versions for a type of updates",
            found=update_type,
            hint="write them into [versions.types]",
        )
    return Rules(lowest or None, current or None, highest or None)


def parse_info(message: bytes) -> str:
    """The text that POST_UPDATE may bring along."""
    _, _, _, length, text = _INFO.unpack_from(message, _DATA)
    return _text(text) if length else ""


def answer(data: bytes = b"") -> bytes:
    """ACK."""
    return _message(Type.ACK, data)


def refusal(why: str) -> bytes:
    """NACK; the tools do not show the reason."""
    return _message(Type.NACK, _cut(why, 128))


def status(now: int, last_result: int, error: int, text: str) -> bytes:
    """The data of an answer to GET_STATUS."""
    return _STATUS.pack(now, last_result, error, _cut(text, 2048))


def revision(board: str, revision: str) -> bytes:
    """The data of an answer to GET_HW_REVISION."""
    return _REVISION.pack(_cut(board, 256), _cut(revision, 256))


def notice(told: Notice) -> bytes:
    """A NOTIFY_STREAM message."""
    return _message(
        Type.NOTIFY_STREAM, _STATUS.pack(told.state, told.error, told.level, _cut(told.text, 2048))
    )


def _message(kind: Type, data: bytes) -> bytes:
    return (_HEAD.pack(MAGIC, kind) + data).ljust(SIZE, b"\0")


def _text(field: bytes) -> str:
    """A C string; a client need not have ended it."""
    return field.partition(b"\0")[0].decode(errors="replace")


def _cut(text: str, size: int) -> bytes:
    """As a C string that fits into so many bytes, without half a character, on one line."""
    raw = re.sub(r"[\x00-\x1f]", " ", text).encode(errors="replace")
    return raw[: size - 1].decode(errors="ignore").encode()
