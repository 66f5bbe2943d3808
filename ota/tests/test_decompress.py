"""The four compressions of artifacts: whole, dripping, cut, followed by something, and as bombs."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable
from functools import partial

import lz4.frame
import pytest
import zstandard

from ota.errors import UpdateError
from ota.formats.selection import Compression
from ota.io.readers import BLOCK, Decompress
from ota.native.memory import resident
from ota.tests.readers import WAYS, Trickle, drain

MEMORY = 16 << 20  # bytes
DATA = bytes(7 * n % 251 for n in range(300_000))

COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.ZLIB: gzip.compress,
    Compression.XZ: lzma.compress,
    Compression.ZSTD: zstandard.ZstdCompressor(write_checksum=True).compress,
    Compression.LZ4: partial(lz4.frame.compress, content_checksum=True),
}


def read(compression: Compression, stored: bytes) -> bytes:
    return drain(Decompress(Trickle(stored, 1000), compression, MEMORY, "a.bin"))


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "a byte", "much"])
def test_it_is_what_was_compressed(compression: Compression, way: str, data: bytes) -> None:
    source = WAYS[way](COMPRESS[compression](data))
    assert bool(drain(Decompress(source, compression, MEMORY, "a.bin")) == data)


@pytest.mark.parametrize("compression", Compression)
def test_what_is_cut_damaged_or_goes_on_is_refused(compression: Compression) -> None:
    stored = COMPRESS[compression](DATA)
    damaged = bytearray(stored)
    damaged[len(stored) // 2] ^= 0x55
    for wrong in (b"", stored[:-1], stored[: len(stored) // 2], stored + b"x", bytes(damaged), b"no stream"):
        with pytest.raises(UpdateError) as refusal:
            read(compression, wrong)
        assert refusal.value.code == "payload-format"


@pytest.mark.parametrize("compression", Compression)
def test_a_bomb_takes_no_memory(compression: Compression) -> None:
    stored = COMPRESS[compression](bytes(256 << 20))
    before = resident()
    reader = Decompress(Trickle(stored, BLOCK), compression, 64 << 20, "a.bin")
    size, largest = 0, before
    while block := reader.read(BLOCK):
        size += len(block)
        largest = max(largest, resident())
    assert size == 256 << 20
    assert largest - before < 48 << 20


def test_swupdate_means_gzip_by_zlib() -> None:
    with pytest.raises(UpdateError):
        read(Compression.ZLIB, zlib.compress(DATA))
