"""rdiff's three jobs through librsync: signature of a base, delta to a new file, patch.

Byte-identical with the `rdiff` program. librsync notices hardly any damage: a wrong base or a flipped literal
byte gives a wrong result without an error, so whoever patches proves the result by digest.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from ota.errors import DeviceError, UpdateError
from ota.interfaces import Reader
from ota.native._rsync import ffi, lib

BUFFER: Final = 256 * 1024  # bytes in, and as many out: all the memory that a patch takes
MAX_BLOCK: Final = 1 << 24  # bytes; rdiff's default is the square root of the base's size: 64 KiB for 4 GiB
MAX_STRONG: Final = 32  # bytes of BLAKE2

_SIGNATURE_HEADER: Final = struct.Struct(
    ">III"
)  # magic, block length, strong length; librsync doc/formats.md


def signature(base: Reader, *, block: int, strong: int = MAX_STRONG) -> Iterator[bytes]:
    """The signature of `base`: RabinKarp rolling sums and BLAKE2 digests.

    Args:
        base: what deltas are to be made from.
        block: bytes per block: the shortest match, and with it the size of the signature.
        strong: bytes kept of each digest.
    """
    assert 0 < block <= MAX_BLOCK and 0 < strong <= MAX_STRONG, (block, strong)
    return _run(lib.rs_sig_begin(block, strong, lib.RS_RK_BLAKE2_SIG_MAGIC), base)


def delta(signature: bytes, new: Reader) -> Iterator[bytes]:
    """The delta that makes `new` from the base that `signature` describes.

    Raises:
        UpdateError: delta-format: not a signature.
    """
    block, blocks = _shape(signature)
    sums = _load(signature)
    # Without a block that could match, librsync writes one literal per buffer that it is given, and `rdiff`
    # gives it single blocks (rs_delta_file in whole.c). Otherwise the delta does not depend on the buffer.
    return _run(lib.rs_delta_begin(sums), new, buffer=BUFFER if blocks else block, keep=sums)


def patch(base_fd: int, base_size: int, delta: Reader) -> Iterator[bytes]:
    """The new file from the base and a delta; the delta is read to its end.

    A small hostile delta can make a huge file: bound what you take.

    Args:
        base_fd: the base, seekable; its position is neither used nor moved.
        base_size: bytes of it that may be read.
        delta: as `rdiff delta` writes it.

    Raises:
        UpdateError: delta-format: not a delta, or damaged where it shows; delta-base: the delta reads past
            the end of the base.
        DeviceError: slot-unreadable: the base cannot be read.
    """
    base = ffi.new("struct base *", {"fd": base_fd, "size": base_size})
    try:
        yield from _run(lib.patch_begin(base), delta, keep=base)
    except UpdateError as refusal:
        if base.error:
            raise DeviceError(
                "slot-unreadable", "the base of an rdiff delta", found=os.strerror(base.error)
            ) from refusal
        if base.passed:
            raise UpdateError(
                "delta-base",
                "the rdiff delta reads past the end of its base",
                expected=f"a base of more than {base_size} bytes",
            ) from refusal
        raise


def _run(job: Any, source: Reader, *, buffer: int = BUFFER, keep: object = None) -> Iterator[bytes]:
    """What `job` (a C pointer, freed here) makes of `source`, read `buffer` bytes at a time.

    `keep` is C memory that the job points to: it has to live as long.
    """
    lib.rs_trace_set_level(lib.RS_LOG_EMERG)  # librsync writes its errors to stderr otherwise
    return _drive(ffi.gc(job, lib.rs_job_free), source, buffer, keep)


def _drive(job: Any, source: Reader, buffer: int, keep: object) -> Iterator[bytes]:
    buffers = ffi.new("rs_buffers_t *")
    space = ffi.new("char[]", BUFFER)
    result = lib.RS_BLOCKED
    while result == lib.RS_BLOCKED:
        if not buffers.avail_in and not buffers.eof_in:
            data = ffi.from_buffer(_fill(source, buffer))
            buffers.next_in, buffers.avail_in, buffers.eof_in = data, len(data), not len(data)
        buffers.next_out, buffers.avail_out = space, len(space)
        result = lib.rs_job_iter(job, buffers)
        if buffers.avail_out < len(space):
            yield bytes(ffi.buffer(space, len(space) - buffers.avail_out))
    if result != lib.RS_DONE:
        raise UpdateError("delta-format", "librsync", found=ffi.string(lib.rs_strerror(result)).decode())
    # Also so that a reader around the source sees its end, and proves its digest.
    if buffers.avail_in or source.read(1):
        raise UpdateError("delta-format", "rdiff data goes on after its end")


def _fill(source: Reader, size: int) -> bytes:
    """`size` bytes, fewer only at the end: the result must not depend on how a source splits its bytes."""
    data = source.read(size)
    while 0 < len(data) < size and (more := source.read(size - len(data))):
        data += more
    return data


def _shape(signature: bytes) -> tuple[int, int]:
    """Block length and number of blocks of a signature, which librsync itself hardly checks."""
    head, rest = signature[: _SIGNATURE_HEADER.size], signature[_SIGNATURE_HEADER.size :]
    if len(head) == _SIGNATURE_HEADER.size:
        _, block, strong = _SIGNATURE_HEADER.unpack(head)
        blocks, odd = divmod(len(rest), 4 + strong)
        if 0 < block <= MAX_BLOCK and 0 < strong <= MAX_STRONG and not odd:
            return block, blocks
    raise UpdateError(
        "delta-format",
        "an rdiff signature's header",
        expected=f"blocks of 1 to {MAX_BLOCK} bytes, digests of 1 to {MAX_STRONG}, nothing cut off",
        found=f"{head.hex()} in {len(signature)} bytes",
    )


def _load(signature: bytes) -> Any:
    """librsync's table of a signature (a C pointer that frees itself)."""
    place = ffi.new("rs_signature_t **")
    job = lib.rs_loadsig_begin(place)
    sums = ffi.gc(place[0], lib.rs_free_sumset)
    assert not list(_run(job, BytesIO(signature)))  # it reads only
    if lib.rs_build_hash_table(sums) != lib.RS_DONE:
        raise MemoryError
    return sums
