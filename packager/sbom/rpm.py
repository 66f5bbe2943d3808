"""The packages of an rpm database in SQLite, as Fedora, openSUSE, RHEL 9 and Yocto have it.

A row of the table Packages is a package's header without its magic (rpm: docs/manual/format_header.md):

    0     4  number of entries, n      big endian, as all numbers here
    4     4  length of the data
    8   16n  entries: tag, type, offset in the data, count; 4 bytes each
    ...      data: texts end with a zero byte
"""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ota.errors import ConfigError

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCHITECTURE, _SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
_INT32, _STRING, _I18N_STRING = 4, 6, 9

MAX_ENTRIES: Final = 1 << 16  # rpm's own limit


def headers(database: bytes, log: bytes, where: str) -> Iterator[Mapping[str, str]]:
    """Name, epoch, version, release, architecture and source of each package.

    Args:
        database: rpmdb.sqlite.
        log: rpmdb.sqlite-wal; what rpm wrote last may stand there alone.
        where: the database, for messages.

    Raises:
        ConfigError: "sbom-format".
    """
    with tempfile.TemporaryDirectory(prefix="otapack-") as folder:
        path = Path(folder, "rpmdb.sqlite")
        path.write_bytes(database)
        path.with_name("rpmdb.sqlite-wal").write_bytes(log)
        try:
            connection = sqlite3.connect(path)
            try:
                blobs = [
                    bytes(row[0]) for row in connection.execute("SELECT blob FROM Packages ORDER BY hnum")
                ]
            finally:
                connection.close()
        except (sqlite3.Error, TypeError) as error:
            raise ConfigError("sbom-format", f"{where} is no database of rpm: {error}") from error
    for blob in blobs:
        try:
            yield header(blob)
        except (struct.error, ValueError) as error:
            raise ConfigError("sbom-format", f"{where}: the header of a package is damaged") from error


def header(blob: bytes) -> Mapping[str, str]:
    """What one header says; raises ValueError or struct.error where it is damaged."""
    count, length = struct.unpack_from(">II", blob)
    if count > MAX_ENTRIES or 8 + 16 * count + length > len(blob):
        raise ValueError(count)
    data = blob[8 + 16 * count :]
    values: dict[int, str] = {}
    for position in range(count):
        tag, kind, offset, _ = struct.unpack_from(">IIiI", blob, 8 + 16 * position)
        if tag not in _WORDS or not 0 <= offset < len(data):
            continue
        if kind == _INT32:
            values[tag] = str(struct.unpack_from(">I", data, offset)[0])
        elif kind in (_STRING, _I18N_STRING):
            values[tag] = data[offset : data.index(0, offset)].decode()
    return {word: values.get(tag, "") for tag, word in _WORDS.items()}


_WORDS: Final = {
    _NAME: "name",
    _EPOCH: "epoch",
    _VERSION: "version",
    _RELEASE: "release",
    _ARCHITECTURE: "architecture",
    _SOURCE: "source",
}
