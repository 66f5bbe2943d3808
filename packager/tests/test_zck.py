"""Our .zck beside that of the zck program: unzck restores it, libzck reads it, and it lists equal chunks."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from hashlib import sha256
from io import FileIO
from pathlib import Path

import pytest

from ota.errors import ConfigError
from ota.formats import zchunk
from ota.native import zck as libzck
from packager import zck
from packager.tests.conftest import FindTool

NOISE = random.Random(1).randbytes(1_000_000)
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(50_000))

IMAGES = {
    "one byte": b"x",
    "less than a chunk": TEXT[:5000],
    "the smallest chunk": NOISE[:8192],
    "all zeros": bytes(1_000_000),
    "the largest chunk": bytes(131072),
    "the largest chunk and a byte": bytes(131073),
    "no compression helps": NOISE,
    "chunks twice, in a .zck of several blocks": (TEXT + NOISE) * 5,
    "more than a block": NOISE + bytes(zck.BLOCK) + NOISE[5000:],
    "chunks to a block's end": bytes(zck.BLOCK),
}
MANY = b"".join(TEXT[: 400_000 + 1000 * number] + NOISE[: 90_000 * number] for number in range(10))


@pytest.mark.parametrize("data", IMAGES.values(), ids=IMAGES)
def test_it_is_what_the_zck_program_writes(data: bytes, tmp_path: Path, tool: FindTool) -> None:
    image, ours, theirs = (tmp_path / name for name in ("image", "ours.zck", "theirs.zck"))
    image.write_bytes(data)
    written = zck.write(image, ours)
    run(tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", theirs, image)
    rows = plain(ours)
    assert rows == plain(theirs)
    # Their header is ours wherever the chunks were compressed alike.
    coded = [zchunk.Row(row.uncompressed_digest, row.digest, row.coded_length, row.length) for row in
             libzck.chunks(theirs.read_bytes())]  # fmt: skip
    assert bool(theirs.read_bytes().startswith(zchunk.render_zstd(coded)))
    assert written.size == len(data)
    assert written.sha256 == sha256(data).hexdigest()
    assert bool(ours.read_bytes().startswith(written.header.data))
    assert ours.stat().st_size == written.header.file_size
    assert ours.stat().st_size <= 1.01 * theirs.stat().st_size + 100
    assert bool(restored(ours, tool) == data)


def test_at_the_level_of_libzcks_search_the_bytes_are_those_of_the_zck_program(
    tmp_path: Path, tool: FindTool
) -> None:
    """Of chunks that any libzstd compresses alike."""
    image, ours, theirs = (tmp_path / name for name in ("image", "ours.zck", "theirs.zck"))
    image.write_bytes(bytes(300_000) + NOISE)
    zck.write(image, ours, level=13)
    run(tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", theirs, image)
    assert bool(ours.read_bytes() == theirs.read_bytes())


def test_the_file_does_not_depend_on_threads_folder_or_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zck, "BLOCK", 300_000)  # many batches
    files = set()
    for threads in (1, 2, 4):
        folder = tmp_path / str(threads)
        folder.mkdir()
        (folder / "image").write_bytes(MANY)
        os.utime(folder / "image", (threads, threads))
        zck.write(folder / "image", folder / "image.zck", level=1, threads=threads)
        files.add((folder / "image.zck").read_bytes())
    monkeypatch.setattr(zck, "BLOCK", 1 << 20)
    zck.write(folder / "image", folder / "image.zck", level=1)
    files.add((folder / "image.zck").read_bytes())
    assert len(files) == 1


def test_equal_chunks_are_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zck, "BLOCK", 1 << 20)
    compressed: list[bytes] = []
    coded = zck._Body._coded

    def counted(body: zck._Body, digest: bytes, chunk: memoryview) -> tuple[zchunk.Row, bytes]:
        compressed.append(digest)
        return coded(body, digest, chunk)

    monkeypatch.setattr(zck._Body, "_coded", counted)
    (tmp_path / "image").write_bytes(bytes(20 << 20) + NOISE + bytes(20 << 20))
    header = zck.write(tmp_path / "image", tmp_path / "image.zck", threads=1).header
    assert len(header) > 320
    zeros = compressed.count(sha256(bytes(131072)).digest())
    # The blocks that were under way when the first one was written did not know of it.
    assert 1 <= zeros <= 4


def test_a_level_changes_the_bytes_and_not_the_chunks(tmp_path: Path, tool: FindTool) -> None:
    text = TEXT[:300_000]
    (tmp_path / "image").write_bytes(text)
    sizes = []
    rows = set()
    for level in (1, 9, 22):
        output = tmp_path / f"{level}.zck"
        sizes.append(zck.write(tmp_path / "image", output, level=level).header.file_size)
        rows.add(tuple(plain(output)))
        assert bool(restored(output, tool) == text)
    assert len(rows) == 1
    assert sizes == sorted(set(sizes), reverse=True)


def test_progress_counts_the_image_up_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(3 * zck.BLOCK) + TEXT)
    told: list[tuple[int, int]] = []
    zck.write(tmp_path / "image", tmp_path / "image.zck", progress=lambda *words: told.append(words))
    size = 3 * zck.BLOCK + len(TEXT)
    assert told == sorted(set(told))
    assert len(told) >= 4
    assert told[-1] == (size, size)


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written over"])
def test_an_image_that_changes_meanwhile_is_refused_and_nothing_is_left(change: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(20 << 20))
    old = b"the release before"
    (tmp_path / "image.zck").write_bytes(old)

    def meddle(done: int, total: int) -> None:
        if done > zck.BLOCK:
            return
        if change == "shrinks":
            os.truncate(image, 19 << 20)
        with image.open("rb+") as file:
            file.seek({"grows": 20 << 20, "shrinks": 18 << 20, "is written over": 0}[change])
            file.write(b"other")

    with pytest.raises(ConfigError, match="changed while") as refusal:
        zck.write(image, tmp_path / "image.zck", progress=meddle)
    assert refusal.value.code == "release-content"
    assert sorted(os.listdir(tmp_path)) == ["image", "image.zck"]
    assert (tmp_path / "image.zck").read_bytes() == old


def test_an_empty_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image").touch()
    with pytest.raises(ConfigError, match="empty") as refusal:
        zck.write(tmp_path / "image", tmp_path / "image.zck")
    assert refusal.value.code == "release-content"
    assert os.listdir(tmp_path) == ["image"]


def test_an_image_that_is_absent_or_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as refusal:
        zck.write(tmp_path / "image", tmp_path / "image.zck")
    assert refusal.value.code == "file-missing"

    class Damaged(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "image").write_bytes(NOISE)
    with Damaged(str(tmp_path / "image")) as source, pytest.raises(ConfigError, match="error") as refusal:
        list(zck._Cut(source).batches())
    assert refusal.value.code == "file-missing"


def test_more_chunks_than_a_header_may_list_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zchunk, "MAX_HEADER", 1000)
    (tmp_path / "image").write_bytes(NOISE)
    with pytest.raises(ConfigError, match="too large") as refusal:
        zck.write(tmp_path / "image", tmp_path / "image.zck")
    assert refusal.value.code == "release-content"
    assert os.listdir(tmp_path) == ["image"]


@pytest.mark.parametrize("lacks", ["chunks", "header"])
def test_a_full_disk_is_told_and_nothing_is_left(lacks: str, tmp_path: Path) -> None:
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    image.write_bytes(NOISE * 3)
    header = zck.write(image, tmp_path / "image.zck").header
    body = header.file_size - len(header.data)
    assert len(header.data) > 4096
    room = 1 << 20 if lacks == "chunks" else -(-body // 4096) * 4096  # a tmpfs has whole pages
    done = []
    run("mount", "-t", "tmpfs", "-o", f"size={room}", "none", disk)
    try:
        with pytest.raises(ConfigError, match="No space left") as refusal:
            zck.write(image, disk / "image.zck", progress=lambda *words: done.append(words[0]))
        assert refusal.value.code == "output-unwritable"
        assert os.listdir(disk) == []
    finally:
        run("umount", disk)
    assert (done[-1:] == [3 * len(NOISE)]) == (lacks == "header")


def plain(file: Path) -> list[tuple[bytes, int]]:
    """(digest, length) of each chunk's plain bytes, as libzck reads them."""
    return [(row.uncompressed_digest, row.length) for row in libzck.chunks(file.read_bytes())]


def restored(file: Path, tool: FindTool) -> bytes:
    return subprocess.run([tool("unzck"), "-c", file], check=True, capture_output=True).stdout


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)
