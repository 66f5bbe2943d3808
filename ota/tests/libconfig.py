"""C libconfig through ctypes: the parser that stock SWUpdate uses, as the judge of what a text means."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Final

NAME: Final = ctypes.util.find_library("config")
_GROUP, _INT, _INT64, _FLOAT, _STRING, _BOOL, _ARRAY, _LIST = range(1, 9)


class _Value(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("long_number", ctypes.c_longlong),
        ("real", ctypes.c_double),
        ("text", ctypes.c_char_p),
    )


class _Setting(ctypes.Structure):
    """The head of libconfig.h's config_setting_t; type and format are shorts since 1.0."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_short),
        ("format", ctypes.c_short),
        ("value", _Value),
    )


def parse(data: bytes) -> object | None:
    """The tree that C libconfig reads from a text; None if it refuses the text."""
    library = ctypes.CDLL(NAME)
    library.config_root_setting.restype = ctypes.POINTER(_Setting)
    library.config_lookup.restype = ctypes.POINTER(_Setting)
    library.config_setting_get_elem.restype = ctypes.POINTER(_Setting)
    config = ctypes.create_string_buffer(1024)  # a config_t, with room to spare
    library.config_init(config)
    try:
        if not library.config_read_string(config, data):
            return None
        # config_root_setting is a macro in some versions: the root is the parent of any setting.
        return _group(library, _root(library, config))
    finally:
        library.config_destroy(config)
