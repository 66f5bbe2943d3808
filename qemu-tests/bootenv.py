"""The boot environment on the medium, as boot loaders find it: an independent reader, and a first content.

U-Boot, two copies (u-boot: env/common.c, env_check_redund, flags "incremental"):

    u32 crc32 of what follows the flag | u8 flag | "name=value\\0"... "\\0" | padding

GRUB, one block of 1024 bytes (grub: include/grub/lib/envblk.h), rewritten in place:

    "# GRUB Environment Block\\n" | "name=value\\n"... | "#" padding
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final

UBOOT_SIZE: Final = 8192  # bytes, of a copy
GRUB_SIZE: Final = 1024  # bytes

_SIGNATURE: Final = b"# GRUB Environment Block\n"


class NoEnvironmentError(Exception):
    """The boot loader would find nothing that it can read."""


def read_uboot(first: bytes, second: bytes) -> dict[str, str]:
    """The variables of the copy that U-Boot takes."""
    good = [copy for copy in (first, second) if zlib.crc32(copy[5:]) == struct.unpack("<I", copy[:4])[0]]
    if not good:
        raise NoEnvironmentError("both copies are damaged")
    flags = [copy[4] for copy in good]
    newest = flags.index(0) if set(flags) == {0, 255} else flags.index(max(flags))
    pairs = good[newest][5:].partition(b"\0\0")[0].split(b"\0")
    return _pairs(pairs)


def render_uboot(variables: Mapping[str, str], flag: int) -> bytes:
    """One copy."""
    text = "".join(f"{name}={value}\0" for name, value in variables.items()).encode() + b"\0"
    data = text.ljust(UBOOT_SIZE - 5, b"\0")
    return struct.pack("<IB", zlib.crc32(data), flag) + data


def read_grub(block: bytes) -> dict[str, str]:
    """The variables that GRUB's load_env finds."""
    if not block.startswith(_SIGNATURE):
        raise NoEnvironmentError("grubenv has no signature")
    return _pairs(block[len(_SIGNATURE) :].partition(b"\n#")[0].split(b"\n"))


def render_grub(variables: Mapping[str, str]) -> bytes:
    text = _SIGNATURE + "".join(f"{name}={value}\n" for name, value in variables.items()).encode()
    return text.ljust(GRUB_SIZE, b"#")


def _pairs(lines: list[bytes]) -> dict[str, str]:
    pairs = (line.decode().partition("=") for line in lines if line)
    return {name: value for name, _, value in pairs}
