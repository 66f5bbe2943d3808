"""Writes a .zck: an image cut into chunks, each compressed by itself, behind the header that lists them.

`zck -u --chunk-hash-type sha256` cuts and hashes alike, but on one core, equal chunks again and again, and
with zstd's search "btopt" at any level. Here a level is what it is in zstd: 9 takes a quarter of the CPU for
a few tenths of a percent more bytes, 13 searches as libzck does. How many threads work does not show.

How long the header is shows at the end; so the chunks are written from the file's start and then moved up,
through no other file. Memory: some 15 MB a thread, and half a kilobyte for each chunk unlike all before it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

import zstandard

from ota.errors import ConfigError
from ota.formats import zchunk
from ota.formats.zchunk import Header, Row
from ota.native.chunker import Chunker
from packager import inputs
from packager.output import refusing

LEVEL: Final = 9  # zstd's, as in `zck`
LEVELS: Final = range(1, 23)  # all: no decoder needs a window larger than the chunk, at most 128 KiB
BLOCK: Final = 2 << 20  # bytes; what is read, compressed and written at a time

Progress = Callable[[int, int], None]
"""Is told how many bytes of the image are done, and of how many."""

_Taken = TypeVar("_Taken")
_Given = TypeVar("_Given")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and of what."""

    header: Header
    sha256: str  # of the image, in hexadecimal

    @property
    def size(self) -> int:
        """Of the image, bytes."""
        return self.header.image_size


def write(
    image: Path,
    output: Path,
    *,
    level: int = LEVEL,
    threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Written:
    """Write the .zck of `image` to `output`; all of it, or nothing.

    Args:
        image: a file that stays as it is meanwhile.
        output: replaced where it exists.
        level: of `LEVELS`.
        threads: how many compress; one a processor where nothing is said.
        progress: called from this thread.

    Raises:
        ConfigError: "file-missing", "release-content" (it is empty, too large, or changed meanwhile),
            "output-unwritable".
    """
    count = threads or len(os.sched_getaffinity(0))
    partial = output.with_name(f".{output.name}.part")
    with inputs.existing(image, "a .zck").open("rb", buffering=0) as source:
        before = os.fstat(source.fileno())
        cut = _Cut(source)
        try:
            with refusing(output.parent), partial.open("wb+", buffering=0) as file:
                body = _Body(file, level)
                with ThreadPoolExecutor(count) as pool:
                    for batch in _in_order(pool, body.code, cut.batches(), 2 * count):
                        body.append(batch)
                        progress(body.plain_size, before.st_size)
                _check_unchanged(image, before, os.fstat(source.fileno()), cut.size)
                header = _header(image, body.rows)
                body.move_up(len(header))
                _write(file, header, 0)
                partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
    return Written(zchunk.parse_manifest(header), cut.sha256)


class _Cut:
    """An image that is read once, from front to back."""

    def __init__(self, source: FileIO) -> None:
        self._source = source
        self._whole = hashlib.sha256()
        self.size = 0  # bytes read so far

    @property
    def sha256(self) -> str:
        """Of all that was read."""
        return self._whole.hexdigest()

    def batches(self) -> Iterator[list[memoryview]]:
        """The image's chunks: those that end in each block."""
        chunker, rest = Chunker(), b""
        while block := self._read():
            lengths = chunker.feed(block)
            view = memoryview(rest + block)
            batch = []
            for length in lengths:
                batch.append(view[:length])
                view = view[length:]
            rest = bytes(view)
            yield batch
        if rest:
            yield [memoryview(rest)]

    def _read(self) -> bytes:
        try:
            block = self._source.read(BLOCK) or b""
        except OSError as error:
            what = f"{self._source.name!r} cannot be read"
            raise ConfigError("file-missing", what, found=error.strerror) from error
        self._whole.update(block)
        self.size += len(block)
        return block


@dataclass(frozen=True, slots=True)
class _Batch:
    """Consecutive chunks."""

    digests: list[bytes]
    coded: dict[bytes, tuple[Row, bytes]]  # of those that the file did not hold yet, by digest


class _Body:
    """The coded chunks in the file, one after the other, and the header's rows of them."""

    def __init__(self, file: FileIO, level: int) -> None:
        self.rows: list[Row] = []
        self.plain_size = 0
        self._file = file
        self._size = 0
        self._first: dict[bytes, tuple[Row, int]] = {}  # by digest: row, place in the file
        self._level = level
        self._threads = threading.local()  # a compressor serves one thread

    def code(self, chunks: list[memoryview]) -> _Batch:
        """Hash chunks and compress the new ones. Changes nothing: any thread may call it, in any order."""
        digests = [hashlib.sha256(chunk).digest() for chunk in chunks]
        by_digest = dict(zip(digests, chunks, strict=True))
        new = {
            digest: self._coded(digest, by_digest[digest])
            for digest in by_digest
            if digest not in self._first
        }
        return _Batch(digests, new)

    def append(self, batch: _Batch) -> None:
        """Write the next chunks."""
        start, pieces = self._size, []
        for digest in batch.digests:
            row, piece = batch.coded.get(digest) or self._again(digest)
            self._first.setdefault(digest, (row, self._size))
            self.rows.append(row)
            self._size += row.coded_length
            self.plain_size += row.length
            pieces.append(piece)
        _write(self._file, b"".join(pieces), start)

    def move_up(self, by: int) -> None:
        """Make room in front; from the end on, since old and new place overlap."""
        for start in reversed(range(0, self._size, BLOCK)):
            piece = os.pread(self._file.fileno(), min(BLOCK, self._size - start), start)
            _write(self._file, piece, start + by)

    def _coded(self, digest: bytes, chunk: memoryview) -> tuple[Row, bytes]:
        if not hasattr(self._threads, "compressor"):
            self._threads.compressor = zstandard.ZstdCompressor(level=self._level)
        coded: bytes = self._threads.compressor.compress(chunk)
        return Row(digest, hashlib.sha256(coded).digest(), len(coded), len(chunk)), coded

    def _again(self, digest: bytes) -> tuple[Row, bytes]:
        """A chunk that lies in the file already."""
        row, start = self._first[digest]
        return row, os.pread(self._file.fileno(), row.coded_length, start)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[_Taken], _Given], items: Iterable[_Taken], ahead: int
) -> Iterator[_Given]:
    """What `work` makes of each; a few items ahead of the caller and no more, so memory is bounded."""
    running: deque[Future[_Given]] = deque()
    for item in items:
        running.append(pool.submit(work, item))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _check_unchanged(image: Path, before: os.stat_result, after: os.stat_result, read: int) -> None:
    if read == 0:
        raise ConfigError("release-content", f"{image} is empty")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or read != before.st_size:
        raise ConfigError(
            "release-content",
            f"{image} changed while its .zck was made",
            expected=f"{before.st_size} bytes",
            found=f"{read} bytes, written to meanwhile",
            hint="build from a file that is finished",
        )


def _header(image: Path, rows: list[Row]) -> bytes:
    header = zchunk.render_zstd(rows)
    if len(header) > zchunk.MAX_HEADER:
        raise ConfigError(
            "release-content",
            f"{image} is too large for one delta: the header of its .zck",
            expected=f"<= {zchunk.MAX_HEADER} bytes",
            found=len(header),
        )
    return header


def _write(file: FileIO, data: bytes, offset: int) -> None:
    """All of it: a disk that fills up takes a part first."""
    view = memoryview(data)
    while view:
        size = os.pwrite(file.fileno(), view, offset)
        view, offset = view[size:], offset + size
