"""libzck: writes a .zck for the build side, and is the oracle for our own header parser and chunker.

The device never imports this module: libzck reads past its buffers on a hostile header (zchunk#117).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ota.errors import ConfigError, OtaError, UpdateError
from ota.interfaces import Reader
from ota.native._zck import ffi, lib

BUFFER: Final = 1024 * 1024  # bytes; the .zck does not depend on it

# Until 1.5.0 the error of a context that could not be made lies in one place for the whole process, and where
# writing begins the umask, which is the process's too, is another one for a moment.
_creation = threading.Lock()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One row of a header."""

    digest: bytes  # sha256 of the coded bytes
    uncompressed_digest: bytes  # sha256 of the image's bytes
    start: int  # bytes into the .zck
    coded_length: int  # bytes
    length: int  # bytes


def write(source: Reader, output_fd: int, *, level: int = 9) -> int:
    """Write the .zck of `source`, as `zck -u --chunk-hash-type sha256` does.

    libzck keeps all compressed chunks in a file in $TMPDIR and copies them behind the header at the end.

    Args:
        source: an image.
        output_fd: an empty file, open for writing.
        level: zstd's; 9 is what the `zck` program uses.

    Returns:
        Length of the header in bytes.

    Raises:
        ConfigError: release-content: the file cannot be written.
    """
    options = (
        (lib.ZCK_COMP_TYPE, lib.ZCK_COMP_ZSTD),
        (lib.ZCK_ZSTD_COMP_LEVEL, level),
        (lib.ZCK_UNCOMP_HEADER, 1),
        (lib.ZCK_HASH_CHUNK_TYPE, lib.ZCK_HASH_SHA256),
    )
    with _context() as context:
        with _creation:
            done = lib.zck_init_write(context, output_fd)
        done = done and all(lib.zck_set_ioption(context, *option) for option in options)
        while done and (data := source.read(BUFFER)):
            done = lib.zck_write(context, data, len(data)) == len(data)
        if not (done and lib.zck_close(context)):
            raise _refusal(ConfigError, "release-content", context)
        length: int = lib.zck_get_header_length(context)
        return length


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
                raise _refusal(UpdateError, "header-format", context)
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


def _refusal(family: type[OtaError], code: str, context: Any) -> OtaError:
    return family(code, f"libzck: {ffi.string(lib.zck_get_error(context)).decode(errors='replace').strip()}")
