"""Artifacts that only devices with the key can read: AES-CBC, as SWUpdate's encrypted_images.rst has it.

The order is sha256, then decryption, then decompression: what is decrypted was proved before. The key file is
that of `swupdate -K`: one line, "KEY IV" in hexadecimal; an artifact's `ivt` takes the place of that IV.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, UpdateError
from ota.interfaces import Reader
from ota.native.aes import Cipher

MAX_KEY_FILE: Final = 1024  # bytes
_BLOCK: Final = 1 << 18  # bytes decrypted at a time

_LINE: Final = re.compile(r"(?P<key>(?:[0-9a-fA-F]{16}){2,4})\s+(?P<iv>[0-9a-fA-F]{32})")


@dataclass(frozen=True, slots=True)
class Key:
    """Of AES, and the IV of artifacts that name none."""

    key: bytes  # 16, 24 or 32
    iv: bytes  # 16


def read_key(path: Path) -> Key:
    """Read a key file.

    Raises:
        ConfigError: "file-missing", or "config-value" where it is no such file; its content is never shown.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE)
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error
    match = _LINE.fullmatch(data.decode(errors="replace").strip())
    if match is None:
        raise ConfigError(
            "config-value",
            f"{path} is no decryption key",
            expected="one line: 32, 48 or 64 hex digits of a key, a blank, 32 of an IV",
        )
    return Key(bytes.fromhex(match["key"]), bytes.fromhex(match["iv"]))


class Decrypt:
    """Plain bytes of an AES-CBC stream.

    Raises:
        UpdateError: "payload-format": the padding at its end is wrong, as with another key.
    """

    def __init__(self, source: Reader, key: bytes, iv: bytes, what: str) -> None:
        self._source = source
        self._cipher: Cipher | None = Cipher(key, iv, encrypt=False)
        self._what = what
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest and self._cipher:
            data = self._source.read(_BLOCK)
            if data:
                self._rest = self._cipher.update(data)
            else:
                self._rest = self._finish(self._cipher)
                self._cipher = None
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _finish(self, cipher: Cipher) -> bytes:
        try:
            return cipher.finish()
        except ValueError as error:
            raise UpdateError(
                "payload-format",
                f"{self._what} cannot be decrypted: {error}",
                hint="it is not encrypted with this device's key and its ivt",
            ) from error
