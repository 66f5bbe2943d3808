"""How an artifact is compressed in the archive, so that a small device can unpack it.

What a decompressor needs is the window that the compressor looked back over. It is bounded here, and
zstd's and xz's best levels that would go beyond are not offered.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard
from lz4.frame import LZ4FrameCompressor

from ota.errors import ConfigError
from ota.formats.selection import Compression
from ota.interfaces import Reader
from ota.io.readers import blocks
from ota.settings import Table

WINDOW_LOG: Final = 23  # 8 MiB, what the zstd format asks every decoder to support (RFC 8878 §3.1.1.1.2)

TIGHT_WINDOW_LOG: Final = (
    22  # 4 MiB, of what devices weigh against their memory; costs less than half a percent
)

BEST: Final = 19  # zstd's highest level within that window

_SUFFIX: Final = {
    Compression.ZSTD: ".zst",
    Compression.XZ: ".xz",
    Compression.ZLIB: ".gz",
    Compression.LZ4: ".lz4",
}
_LEVELS: Final = {
    Compression.ZSTD: range(1, 20),
    Compression.XZ: range(7),  # 6 looks back over 8 MiB, 9 over 64 MiB
    Compression.ZLIB: range(1, 10),
    Compression.LZ4: range(1, 13),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A method and its level; no method leaves the artifact as it is."""

    method: Compression | None
    level: int
    window_log: int = WINDOW_LOG  # of zstd

    @property
    def suffix(self) -> str:
        """Of the compressed file's name."""
        return _SUFFIX[self.method] if self.method else ""


def read(table: Table, default: str = Compression.ZSTD) -> Setting:
    """The keys `compressed` and `level` of an entry."""
    word = table.text("compressed", default)
    if word == "none":
        return Setting(None, 0)
    if word not in set(Compression):
        raise ConfigError(
            "config-value",
            f"{table.path}: compressed is wrong",
            expected=", ".join(Compression) + ", none",
            found=repr(word),
        )
    method = Compression(word)
    levels = _LEVELS[method]
    level = table.integer("level", levels[-1])
    if level not in levels:
        raise ConfigError(
            "config-value",
            f"{table.path}: level of {method} is wrong",
            expected=f"{levels[0]} to {levels[-1]}",
            found=level,
        )
    return Setting(method, level)


def zstd(table: Table, key: str, default: int) -> Setting:
    """A level of zstd under a key of its own, for a file that devices choose by the memory it takes."""
    levels = _LEVELS[Compression.ZSTD]
    level = table.integer(key, default)
    if level not in levels:
        raise ConfigError(
            "config-value",
            f"{table.path}: {key} is wrong",
            expected=f"{levels[0]} to {levels[-1]}",
            found=level,
        )
    return Setting(Compression.ZSTD, level, TIGHT_WINDOW_LOG)


def write(source: Reader, size: int, output: Path, setting: Setting) -> None:
    """Compress the `size` bytes of `source`; equal input gives equal output at any time."""
    assert setting.method, setting
    with output.open("wb") as file:
        file.writelines(_WRITERS[setting.method](source, size, setting))


def _zstd(source: Reader, size: int, setting: Setting) -> Iterator[bytes]:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        setting.level,
        source_size=size,
        window_log=setting.window_log,
        write_content_size=True,
        write_checksum=True,
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=size)
    try:
        yield from map(compressor.compress, blocks(source))
        yield compressor.flush()
    except zstandard.ZstdError as error:  # it was promised `size` bytes
        raise ConfigError("release-content", f"an image changed while it was read: {error}") from error


def _xz(source: Reader, size: int, setting: Setting) -> Iterator[bytes]:
    compressor = lzma.LZMACompressor(preset=setting.level)
    yield from map(compressor.compress, blocks(source))
    yield compressor.flush()


def _zlib(source: Reader, size: int, setting: Setting) -> Iterator[bytes]:
    # SWUpdate's "zlib" is a gzip stream; zlib's own gzip header holds neither time nor name.
    compressor = zlib.compressobj(setting.level, wbits=16 + zlib.MAX_WBITS)
    yield from map(compressor.compress, blocks(source))
    yield compressor.flush()


def _lz4(source: Reader, size: int, setting: Setting) -> Iterator[bytes]:
    compressor = LZ4FrameCompressor(compression_level=setting.level, content_checksum=True)
    yield compressor.begin(source_size=size)
    yield from map(compressor.compress, blocks(source))
    yield compressor.flush()


_WRITERS: Final = {
    Compression.ZSTD: _zstd,
    Compression.XZ: _xz,
    Compression.ZLIB: _zlib,
    Compression.LZ4: _lz4,
}
