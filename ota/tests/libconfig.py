"""C libconfig 1.5 through ctypes: the parser under stock SWUpdate, as the judge of what a text means.

It is the library that came with the swupdate of `bench/tools`, so that it is the same on every machine.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

_TOOLS: Final = Path(__file__).parents[2] / "build" / "tools"
FILE: Final = next(_TOOLS.glob("bookworm/usr/lib/*/libconfig.so.9"), None)


class _Value(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("long_number", ctypes.c_longlong),
        ("real", ctypes.c_double),
        ("text", ctypes.c_char_p),
    )


class _Setting(ctypes.Structure):
    """The head of libconfig.h's config_setting_t."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_short),
        ("format", ctypes.c_short),
        ("value", _Value),
    )


def parse(data: bytes) -> object:
    """The tree that C libconfig reads from a text, with lists for arrays; None if it refuses the text."""
    library = ctypes.CDLL(str(FILE))
    library.config_setting_get_elem.restype = ctypes.POINTER(_Setting)
    config = ctypes.create_string_buffer(1024)  # a config_t, with room to spare
    library.config_init(config)
    try:
        if not library.config_read_string(config, data):
            return None
        root = ctypes.POINTER(_Setting).from_buffer(config)  # the first field of config_t
        return _plain(library, root.contents)
    finally:
        library.config_destroy(config)


def _plain(library: ctypes.CDLL, setting: _Setting) -> object:
    value = setting.value
    match setting.type:
        case 1:
            return {child.name.decode(): _plain(library, child) for child in _children(library, setting)}
        case 7 | 8:  # array and list
            return [_plain(library, child) for child in _children(library, setting)]
        case 2:
            return value.number
        case 3:
            return value.long_number
        case 4:
            return value.real
        case 5:
            return (value.text or b"").decode(errors="surrogateescape")
        case 6:
            return bool(value.number)
    raise AssertionError(setting.type)


def _children(library: ctypes.CDLL, setting: _Setting) -> list[_Setting]:
    count = library.config_setting_length(ctypes.byref(setting))
    return [library.config_setting_get_elem(ctypes.byref(setting), n).contents for n in range(count)]
