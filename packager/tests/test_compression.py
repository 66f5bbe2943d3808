"""What is compressed here, a small device can unpack."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import zstandard
from lz4.frame import get_frame_info

from ota.errors import OtaError
from ota.formats.selection import Compression
from ota.io.readers import Decompress, blocks
from packager import compression
from packager.compression import Setting

DATA = (
    b"".join(random.Random(1).randbytes(4096) * count for count in range(1, 60)) * 2
)  # 14 MB, repeats far apart


@pytest.mark.parametrize("size", [0, 1, 4096, len(DATA)])
@pytest.mark.parametrize(
    "setting",
    [
        Setting(Compression.ZSTD, 1),
        Setting(Compression.XZ, 0),
        Setting(Compression.ZLIB, 1),
        Setting(Compression.LZ4, 1),
        Setting(Compression.LZ4, 12),
    ],
)
def test_what_is_compressed_comes_out_again(tmp_path: Path, setting: Setting, size: int) -> None:
    compression.write(io.BytesIO(DATA[:size]), size, tmp_path / "file", setting)
    with (tmp_path / "file").open("rb") as file:
        assert setting.method
        reader = Decompress(file, setting.method, 9 << 20, "file")
        assert b"".join(blocks(reader)) == DATA[:size]


@pytest.mark.parametrize("level", [1, 12, 19])
def test_a_zstd_window_is_8_mib_at_any_level_and_the_size_is_told(tmp_path: Path, level: int) -> None:
    compression.write(io.BytesIO(DATA), len(DATA), tmp_path / "file", Setting(Compression.ZSTD, level))
    frame = zstandard.get_frame_parameters((tmp_path / "file").read_bytes())
    assert frame.window_size == 8 << 20
    assert frame.content_size == len(DATA)
    assert frame.has_checksum


def test_an_lz4_frame_tells_the_size_and_proves_its_content(tmp_path: Path) -> None:
    compression.write(io.BytesIO(DATA), len(DATA), tmp_path / "file", Setting(Compression.LZ4, 1))
    frame = get_frame_info((tmp_path / "file").read_bytes())
    assert frame["content_size"] == len(DATA)
    assert frame["content_checksum"]


def test_a_gzip_header_holds_neither_time_nor_name(tmp_path: Path) -> None:
    compression.write(io.BytesIO(b"data"), 4, tmp_path / "file", Setting(Compression.ZLIB, 9))
    assert (tmp_path / "file").read_bytes()[:8] == b"\x1f\x8b\x08" + bytes(5)  # RFC 1952 §2.3: FLG, MTIME


@pytest.mark.parametrize("size", [3, 5])
def test_an_image_that_changes_while_it_is_read_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(OtaError, match="release-content"):
        compression.write(io.BytesIO(b"data"), size, tmp_path / "file", Setting(Compression.ZSTD, 3))
