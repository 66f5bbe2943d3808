"""libzck reads a header: the oracle for what we write and parse ourselves.

The device never imports this module: libzck reads past its buffers on a hostile header (zchunk#117).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ota.errors import UpdateError
from ota.native._zck import ffi, lib

# Until 1.5.0 the error of a context that could not be made lies in one place for the whole process.
_creation = threading.Lock()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One row of a header."""

    digest: bytes  # sha256 of the coded bytes
    uncompressed_digest: bytes  # sha256 of the image's bytes
    start: int  # bytes into the .zck
    coded_length: int  # bytes
    length: int  # bytes


def chunks(header: bytes) -> list[Chunk]:
    """The rows of a header, without row 0, the dictionary.

    Raises:
        UpdateError: header-format: libzck refuses it.
    """
    fd = os.memfd_create("zck-header")
    try:
        os.write(fd, header)
        os.lseek(fd, 0, os.SEEK_SET)
        with _context() as context:
            if not lib.zck_init_read(context, fd):
                raise _refusal(context)
            return list(_rows(context))
    finally:
        os.close(fd)


@contextmanager
def _context() -> Iterator[Any]:
    """A libzck context: a C pointer."""
    with _creation:
        context = lib.zck_create()
    if not context:
        raise MemoryError
    try:
        yield context
    finally:
        lib.zck_free(ffi.new("zckCtx **", context))


def _rows(context: Any) -> Iterator[Chunk]:
    row = lib.zck_get_next_chunk(lib.zck_get_first_chunk(context))
    while row:
        yield Chunk(
            _digest(lib.zck_get_chunk_digest(row)),
            _digest(lib.zck_get_chunk_digest_uncompressed(row)),
            lib.zck_get_chunk_start(row),
            lib.zck_get_chunk_comp_size(row),
            lib.zck_get_chunk_size(row),
        )
        row = lib.zck_get_next_chunk(row)


def _digest(text: Any) -> bytes:
    """The bytes of hexadecimal `text`, a C string that is freed."""
    try:
        return bytes.fromhex(ffi.string(text).decode())
    finally:
        lib.free(text)


def _refusal(context: Any) -> UpdateError:
    said = ffi.string(lib.zck_get_error(context)).decode(errors="replace")
    return UpdateError("header-format", f"libzck: {said.strip()}")
