"""The wire formats of SWUpdate's sockets, against what the machine's C compiler makes of the structures."""

from __future__ import annotations

import ctypes as c

import pytest

from ota import config
from ota.errors import ConfigError
from ota.formats.selection import Selection
from ota.service import messages
from ota.service.messages import LAYOUTS, Level, Notice, Progress, State, Type

Fields = list[tuple[str, type]]

REQUEST: Fields = [
    ("apiversion", c.c_uint), ("source", c.c_uint), ("dry_run", c.c_uint), ("len", c.c_size_t),
    ("info", c.c_char * 512), ("software_set", c.c_char * 256), ("running_mode", c.c_char * 256),
    ("disable_store_swu", c.c_bool),
]  # fmt: skip
PROGRESS: Fields = [
    ("apiversion", c.c_uint), ("status", c.c_uint), ("dwl_percent", c.c_uint), ("dwl_bytes", c.c_ulonglong),
    ("nsteps", c.c_uint), ("cur_step", c.c_uint), ("cur_percent", c.c_uint), ("cur_image", c.c_char * 256),
    ("hnd_name", c.c_char * 64), ("source", c.c_uint), ("infolen", c.c_uint), ("info", c.c_char * 2048),
]  # fmt: skip
STATUS: Fields = [
    ("current", c.c_int),
    ("last_result", c.c_int),
    ("error", c.c_int),
    ("desc", c.c_char * 2048),
]


def structure(fields: Fields, packed: bool = False) -> type[c.Structure]:
    return type("S", (c.Structure,), {"_pack_": 1, "_fields_": fields} if packed else {"_fields_": fields})


def install_message(**fields: object) -> bytes:
    request = structure(REQUEST)(**{"apiversion": 1, **fields})
    instmsg = structure([("req", type(request)), ("len", c.c_uint), ("buf", c.c_char * 2048)])
    whole = structure([("magic", c.c_int), ("type", c.c_int), ("data", instmsg)])
    return bytes(whole(messages.MAGIC, Type.REQ_INSTALL, instmsg(request)))


def test_a_request_is_read_as_a_c_client_writes_it() -> None:
    message = install_message(
        source=2, dry_run=1, len=9, info=b"from hawkBit", software_set=b"stable", running_mode=b"copy-b"
    )
    assert len(message) == messages.SIZE
    assert messages.type_of(message) is Type.REQ_INSTALL
    request = messages.parse_request(message)
    assert request == messages.Request(2, True, "from hawkBit", Selection("stable", "copy-b"))


@pytest.mark.parametrize(("mode", "is_dry"), [(0, False), (1, True), (2, False), (7, False)])
def test_only_a_dry_run_is_one(mode: int, is_dry: bool) -> None:
    assert messages.parse_request(install_message(dry_run=mode)).dry_run == is_dry


@pytest.mark.parametrize(
    "fields",
    [{"apiversion": 2}, {"software_set": b"stable"}, {"running_mode": b"copy-b"}, {"software_set": b"a,b"}],
)
def test_a_request_that_is_not_understood_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        messages.parse_request(install_message(**fields))


def test_strings_without_an_end_are_read_no_further() -> None:
    message = install_message(info=b"i" * 512, software_set=b"s" * 256, running_mode=b"m" * 256)
    request = messages.parse_request(message)
    assert (request.info, request.selection) == ("i" * 512, Selection("s" * 256, "m" * 256))


@pytest.mark.parametrize(("tools", "packed"), [("2022.12", False), ("2024.12", False), ("2025.12", True)])
def test_progress_is_what_a_c_client_reads(tools: str, packed: bool) -> None:
    progress = Progress(State.PROGRESS, 12, 1 << 40, 3, 2, 55, "rootfs.zck", "delta", 4, "näh")
    read = structure(PROGRESS, packed).from_buffer_copy(LAYOUTS[tools].pack(progress))
    assert len(LAYOUTS[tools].pack(progress)) == c.sizeof(read)
    values = [getattr(read, name) for name, _ in PROGRESS]
    info = "näh".encode()
    assert values == [2 << 16, 8, 12, 1 << 40, 3, 2, 55, b"rootfs.zck", b"delta", 4, len(info), info]


def test_the_configuration_knows_every_layout() -> None:
    assert tuple(LAYOUTS) == config.TOOLS


def test_the_greeting_came_with_2024() -> None:
    greeting = bytes(c.c_uint(2 << 16)) + b"ACK\0"
    assert [layout.greeting for layout in LAYOUTS.values()] == [b"", greeting, greeting]


def test_texts_are_cut_to_their_fields_without_half_a_character() -> None:
    told = Progress(image="ä" * 200, handler="h" * 100, info="line\nline\t" + "ü" * 2000)
    read = structure(PROGRESS).from_buffer_copy(LAYOUTS["2024.12"].pack(told))
    assert (read.cur_image.decode(), read.hnd_name) == ("ä" * 127, b"h" * 63)
    assert read.info.decode() == "line line " + "ü" * 1018
    assert read.infolen == len(read.info)


def test_status_and_notices_are_what_a_c_client_reads() -> None:
    answer = messages.answer(messages.status(State.RUN, State.FAILURE, 1, "why"))
    notice = messages.notice(Notice(State.FAILURE, Level.ERROR, "why"))
    assert len(answer) == len(notice) == messages.SIZE
    assert (messages.type_of(answer), messages.type_of(notice)) == (Type.ACK, Type.NOTIFY_STREAM)
    for message, numbers in ((answer, [2, 4, 1]), (notice, [4, 1, 1])):
        read = structure(STATUS).from_buffer_copy(message, 8)
        assert [getattr(read, name) for name, _ in STATUS] == [*numbers, b"why"]


@pytest.mark.parametrize("head", [bytes(8), b"\x01\x20\x05\x14\xff\0\0\0", b"\x02\x20\x05\x14\0\0\0\0"])
def test_what_is_no_message_has_no_type(head: bytes) -> None:
    assert messages.type_of(head.ljust(messages.SIZE, b"\0")) is None
