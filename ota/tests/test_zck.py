"""What we write through libzck is what the zck program writes, and what we read from a header is true."""

from __future__ import annotations

import io
import os
import platform
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from ota.errors import ConfigError, UpdateError
from ota.native import zck

NOISE = random.Random(1).randbytes(1_000_000)
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(50_000))
MIXED = TEXT + bytes(500_000) + NOISE


# The program is bookworm's; another libzstd codes the same chunks in other bytes.
BOOKWORM = platform.freedesktop_os_release().get("VERSION_CODENAME") == "bookworm"


def plain_chunks(file: bytes) -> list[tuple[bytes, int]]:
    return [(row.uncompressed_digest, row.length) for row in zck.chunks(file)]


def written(data: bytes, path: Path, **options: int) -> tuple[bytes, int]:
    """The .zck of `data` and the length of its header."""
    with path.open("wb") as file:
        length = zck.write(io.BytesIO(data), file.fileno(), **options)
    return path.read_bytes(), length


@pytest.mark.parametrize(
    "data", [b"", b"x", bytes(400_000), NOISE, MIXED], ids=["", "x", "zero", "noise", "mixed"]
)
def test_the_file_is_that_of_the_zck_program(
    data: bytes, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    (tmp_path / "image").write_bytes(data)
    command: list[str | Path] = [tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", "theirs", "image"]
    subprocess.run(command, cwd=tmp_path, check=True)
    ours, _ = written(data, tmp_path / "ours")
    theirs = (tmp_path / "theirs").read_bytes()
    if BOOKWORM:
        assert bool(ours == theirs)
    assert plain_chunks(ours) == plain_chunks(theirs)


def test_the_file_does_not_depend_on_how_the_source_gives_its_bytes(tmp_path: Path) -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(4099)

    whole, _ = written(MIXED, tmp_path / "whole")
    with (tmp_path / "trickled").open("wb") as file:
        zck.write(Trickle(MIXED), file.fileno())
    assert (tmp_path / "trickled").read_bytes() == whole


def test_another_level_makes_another_file_of_the_same_chunks(tmp_path: Path) -> None:
    low, low_header = written(TEXT, tmp_path / "low", level=1)
    high, high_header = written(TEXT, tmp_path / "high", level=19)
    assert high != low
    rows = [zck.chunks(file[:length]) for file, length in ((low, low_header), (high, high_header))]
    assert [row.uncompressed_digest for row in rows[0]] == [row.uncompressed_digest for row in rows[1]]


def test_the_rows_of_a_header_describe_file_and_image(tmp_path: Path) -> None:
    file, header = written(MIXED, tmp_path / "file")
    image = b""
    start = header
    for row in zck.chunks(file[:header]):
        assert row.start == start
        start += row.coded_length
        coded = file[row.start : start]
        assert sha256(coded).digest() == row.digest
        chunk = zstandard.ZstdDecompressor().decompress(coded)
        assert len(chunk) == row.length
        assert sha256(chunk).digest() == row.uncompressed_digest
        image += chunk
    assert image == MIXED
    assert start == len(file)


def test_two_threads_write_two_files_at_once(tmp_path: Path) -> None:
    sources = [MIXED, TEXT + NOISE] * 2
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(written, data, tmp_path / str(n)) for n, data in enumerate(sources)]
    alone = [written(data, tmp_path / "alone") for data in sources]
    assert [job.result() for job in jobs] == alone


@pytest.mark.parametrize(
    "header", [b"", b"\0ZCK1", b"no header at all" * 20], ids=["empty", "magic", "other"]
)
def test_what_is_no_header_is_refused_without_a_word_on_stderr(
    header: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UpdateError) as refusal:
        zck.chunks(header)
    assert refusal.value.code == "header-format"
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_told_and_nothing_stays_open() -> None:
    before = os.listdir("/proc/self/fd")
    with open("/dev/full", "wb") as full:
        for _ in range(3):
            with pytest.raises(ConfigError, match="No space left"):
                zck.write(io.BytesIO(NOISE), full.fileno())
    with pytest.raises(UpdateError):
        zck.chunks(b"")
    assert os.listdir("/proc/self/fd") == before


def test_a_source_that_breaks_off_leaves_nothing_open(tmp_path: Path) -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise OSError("gone")

    before = os.listdir("/proc/self/fd")
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="gone"):
        zck.write(Broken(), file.fileno())
    assert os.listdir("/proc/self/fd") == before
