"""What libzck reads from a header is true, and what it cannot read it refuses."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from ota.errors import UpdateError
from ota.native import zck

NOISE = random.Random(1).randbytes(1_000_000)
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(50_000))
MIXED = TEXT + bytes(500_000) + NOISE


def test_the_rows_of_a_header_describe_file_and_image(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    (tmp_path / "image").write_bytes(MIXED)
    command: list[str | Path] = [tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", "file", "image"]
    subprocess.run(command, cwd=tmp_path, check=True)
    file = (tmp_path / "file").read_bytes()
    rows = zck.chunks(file)
    image = b""
    start = rows[0].start
    for row in rows:
        assert row.start == start
        start += row.coded_length
        coded = file[row.start : start]
        assert sha256(coded).digest() == row.digest
        chunk = zstandard.ZstdDecompressor().decompress(coded)
        assert len(chunk) == row.length
        assert sha256(chunk).digest() == row.uncompressed_digest
        image += chunk
    assert bool(image == MIXED)
    assert start == len(file)
    assert zck.chunks(file[: rows[0].start]) == rows  # the header alone suffices


@pytest.mark.parametrize(
    "header", [b"", b"\0ZCK1", b"no header at all" * 20], ids=["empty", "magic", "other"]
)
def test_what_is_no_header_is_refused_without_a_word_on_stderr(
    header: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(UpdateError) as refusal:
        zck.chunks(header)
    assert refusal.value.code == "header-format"
    assert capfd.readouterr() == ("", "")
    assert os.listdir("/proc/self/fd") == before
