"""The zchunk header: a list of an image's chunks, which is the manifest of a slot that holds the image.

Layout (zchunk_format.txt of the zchunk project; `ci` is a compressed integer):

    lead       magic 5 | checksum type ci | header size ci (bytes behind the lead) | header checksum
    preface    data checksum (zeros with flag 4) | flags ci | compression ci | [optional elements]
    index      index size ci | chunk hash type ci | chunk count ci (dictionary included) |
               per chunk: digest coded | [flag 4: digest plain] | coded length ci | plain length ci
    signatures count ci (0: none are defined)

The chunks follow the header in the same order, the dictionary first. A header is parsed only after
its own sha256, which stands in the signed sw-description, was checked; the bounds hold all the same.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import zstandard

from ota.errors import TrustError, UpdateError

MAX_HEADER: Final = 64 << 20  # bytes; 40 GiB of image at the usual 70 bytes for each 47 KiB
MAX_CHUNK: Final = 64 << 20  # bytes, coded or plain; the automatic chunker ends at 128 KiB
MAX_IMAGE: Final = 1 << 50  # bytes

MAGIC: Final = b"\0ZCK1"
MAGIC_DETACHED: Final = b"\0ZHR1"


class Compression(IntEnum):
    """Of the chunks' coded bytes."""

    NONE = 0
    ZSTD = 2


class HashType(IntEnum):
    """Of a checksum or of chunk digests."""

    SHA1 = 0
    SHA256 = 1
    SHA512 = 2
    SHA512_128 = 3  # the first 16 bytes of SHA-512

    @property
    def size(self) -> int:
        """Length of a digest, bytes."""
        return (20, 32, 64, 16)[self]

    def digest(self, *data: bytes | memoryview) -> bytes:
        """The digest of all these bytes, cut to this type's length."""
        name = ("sha1", "sha256", "sha512", "sha512")[self]
        digest = hashlib.new(name, usedforsecurity=self is HashType.SHA256)
        for part in data:
            digest.update(part)
        return digest.digest()[: self.size]


_OPTIONAL, _PLAIN_DIGESTS = 2, 4  # flags
_MAX_GROUPS: Final = 10  # bytes of a compressed integer; ten hold 64 bits


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk. Ranges are half-open; all numbers are bytes."""

    number: int  # from 0, the dictionary not counted
    offset: int  # in the image
    length: int  # in the image
    start: int  # in the .zck
    stop: int  # in the .zck
    digest: bytes  # of the plain bytes; empty where the header has none
    coded_digest: bytes  # of the bytes in the .zck


class Header:
    """A parsed header. Holds some 100 bytes a chunk, whatever the image's size.

    Attributes:
        data: the header as it stands at the start of the .zck (or detached, with its own magic).
        compression: how chunks are coded.
        hash_type: of both kinds of chunk digest.
        dictionary: the chunk that holds the zstd dictionary; None without one.
        has_plain_digests: whether `Chunk.digest` is known, which a slot's manifest needs.
    """

    def __init__(
        self,
        data: bytes,
        compression: Compression,
        hash_type: HashType,
        dictionary: Chunk | None,
        has_plain_digests: bool,
        offsets: array[int],
        starts: array[int],
        records: array[int],
    ) -> None:
        self.data = data
        self.compression = compression
        self.hash_type = hash_type
        self.dictionary = dictionary
        self.has_plain_digests = has_plain_digests
        self._offsets = offsets  # in the image; one more than there are chunks
        self._starts = starts  # in the .zck; one more than there are chunks
        self._records = records  # where each chunk's digests lie in `data`
        self._digest_size = hash_type.size

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Chunk]:
        return map(self.chunk, range(len(self)))

    @property
    def image_size(self) -> int:
        """Length of the image, bytes."""
        return self._offsets[-1]

    @property
    def file_size(self) -> int:
        """Length of the .zck, bytes."""
        return self._starts[-1]

    def chunk(self, number: int) -> Chunk:
        """The chunk with that number."""
        offset, start = self._offsets[number], self._starts[number]
        return Chunk(
            number,
            offset,
            self._offsets[number + 1] - offset,
            start,
            self._starts[number + 1],
            self.digest(number) if self.has_plain_digests else b"",
            self._digest_at(self._records[number]),
        )

    def digest(self, number: int) -> bytes:
        """The digest of a chunk's plain bytes."""
        return self._digest_at(self._records[number] + self._digest_size)

    def coded_length(self, number: int) -> int:
        """Length of a chunk in the .zck, bytes."""
        return self._starts[number + 1] - self._starts[number]

    def offset(self, number: int) -> int:
        """Where a chunk starts in the image; for `len(self)`, where the image ends."""
        return self._offsets[number]

    def _digest_at(self, position: int) -> bytes:
        return self.data[position : position + self._digest_size]


def parse(data: bytes) -> Header:
    """Parse a header; `data` may go on behind it.

    Raises:
        UpdateError: "header-format" for what breaks the format, "header-unsupported" for what no
            known writer makes.
    """
    cursor = _Cursor(data)
    magic = cursor.take(len(MAGIC), "magic")
    if magic not in (MAGIC, MAGIC_DETACHED):
        raise _malformed("not a zchunk header", expected=MAGIC, found=magic)
    full_type = cursor.hash_type("checksum type")
    size = cursor.integer("header size", MAX_HEADER)
    checksum = cursor.take(full_type.size, "header checksum")
    body_start = cursor.position
    view = memoryview(data)  # a header may have megabytes: none is copied
    body = view[body_start : body_start + size]
    if len(body) != size:
        raise _malformed("header is cut short", expected=f"{size} bytes", found=len(body))
    # The checksum leaves itself out, and covers the attached form's magic in the detached form too.
    found = full_type.digest(MAGIC, view[len(MAGIC) : body_start - full_type.size], body)
    if found != checksum:
        raise _malformed("header checksum", expected=checksum.hex(), found=found.hex())
    cursor = _Cursor(data[: body_start + size], body_start)
    cursor.take(full_type.size, "data checksum")
    flags = cursor.integer("flags", 1 << 30)
    if flags & ~(_OPTIONAL | _PLAIN_DIGESTS):
        raise UpdateError("header-unsupported", "flags of the zchunk header", expected="2, 4", found=flags)
    compression = cursor.integer("compression", 1 << 30)
    if compression not in set(Compression):
        raise UpdateError(
            "header-unsupported", "compression of the chunks", expected="0, 2", found=compression
        )
    if flags & _OPTIONAL:
        _skip_optional_elements(cursor)
    header = _parse_index(cursor, Compression(compression), bool(flags & _PLAIN_DIGESTS))
    if count := cursor.integer("signature count", 1 << 30):
        raise UpdateError(
            "header-unsupported", "signatures inside the zchunk header", expected=0, found=count
        )
    if cursor.position != len(cursor.data):
        raise _malformed("bytes behind the signatures", expected=cursor.position, found=len(cursor.data))
    return header


def parse_manifest(data: bytes) -> Header:
    """Parse a header that is to be a slot's manifest: SHA-256 of the plain bytes, no dictionary.

    Raises:
        UpdateError: as `parse`, and "header-unsupported".
    """
    header = parse(data)
    if not header.has_plain_digests:
        raise UpdateError(
            "header-unsupported",
            "the zchunk header has no digests of the image's own bytes",
            hint="make the .zck with zck -u (--uncompressed)",
        )
    if header.hash_type is not HashType.SHA256 or header.dictionary is not None:
        raise UpdateError(
            "header-unsupported",
            "the zchunk header",
            expected="chunk hash SHA-256, no dictionary",
            found=f"{header.hash_type.name}, {'a' if header.dictionary else 'no'} dictionary",
        )
    return header


class Row(NamedTuple):
    """What a header states of one chunk."""

    digest: bytes  # sha256 of the plain bytes
    coded_digest: bytes  # sha256 of the bytes in the .zck
    coded_length: int  # bytes
    length: int  # bytes


def render(chunks: Iterable[tuple[bytes, int]]) -> bytes:
    """The header of an image whose chunks are stored as they are, e.g. one that was indexed in a slot.

    Args:
        chunks: (sha256, length in bytes) of each, in order.
    """
    return _render((Row(digest, digest, length, length) for digest, length in chunks), Compression.NONE)


def render_zstd(rows: Iterable[Row]) -> bytes:
    """The header of a .zck, byte for byte that of `zck -u --chunk-hash-type sha256`; rows in order."""
    return _render(rows, Compression.ZSTD)


def _render(chunks: Iterable[Row], compression: Compression) -> bytes:
    none = bytes(HashType.SHA256.size)
    # The dictionary is chunk 0 and always there; length 0 says that it is not used.
    rows = [_render_row(row) for row in (Row(none, none, 0, 0), *chunks)]
    index = _encode(HashType.SHA256) + _encode(len(rows)) + b"".join(rows)
    preface = none + _encode(_PLAIN_DIGESTS) + _encode(compression)
    body = preface + _encode(len(index)) + index + _encode(0)
    lead = MAGIC + _encode(HashType.SHA256) + _encode(len(body))
    return lead + HashType.SHA256.digest(lead + body) + body


def _render_row(row: Row) -> bytes:
    return row.coded_digest + row.digest + _encode(row.coded_length) + _encode(row.length)


class Decoder:
    """Turns coded chunks into plain ones, both digests proved; keeps one zstd context for all of them.

    Args:
        dictionary: the plain bytes of `header.dictionary`, where there is one.
    """

    def __init__(self, header: Header, dictionary: bytes = b"") -> None:
        self._header = header
        made_with = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self._zstd = zstandard.ZstdDecompressor(dict_data=made_with)

    def decode(self, chunk: Chunk, coded: bytes) -> bytes:
        """The plain bytes of `chunk`.

        Raises:
            TrustError: "digest-mismatch": these are not the bytes that the header vouches for.
        """
        digest = self._header.hash_type.digest
        if digest(coded) != chunk.coded_digest:
            raise _mismatch(f"coded bytes of chunk {chunk.number}", chunk.coded_digest, digest(coded))
        plain = self._decompress(chunk, coded)
        if chunk.digest and digest(plain) != chunk.digest:
            raise _mismatch(f"plain bytes of chunk {chunk.number}", chunk.digest, digest(plain))
        return plain

    def _decompress(self, chunk: Chunk, coded: bytes) -> bytes:
        if self._header.compression is Compression.NONE:
            plain = coded
        else:
            try:
                plain = self._zstd.decompress(coded, max_output_size=chunk.length)
            except zstandard.ZstdError as error:
                raise UpdateError("payload-format", f"chunk {chunk.number}: {error}") from error
        if len(plain) != chunk.length:
            raise UpdateError(
                "payload-format", f"length of chunk {chunk.number}", expected=chunk.length, found=len(plain)
            )
        return plain


def _parse_index(cursor: _Cursor, compression: Compression, has_plain_digests: bool) -> Header:
    size = cursor.integer("index size", MAX_HEADER)
    end = cursor.position + size
    hash_type = cursor.hash_type("chunk hash type")
    if has_plain_digests and hash_type in (HashType.SHA1, HashType.SHA512_128):
        raise _malformed("chunk hash type beside flag 4", expected="SHA-256 or SHA-512", found=hash_type.name)
    digests_size = hash_type.size * (2 if has_plain_digests else 1)
    count = cursor.integer("chunk count", MAX_HEADER // (digests_size + 2))
    if count == 0:
        raise _malformed("chunk count", expected="at least the dictionary's entry", found=0)
    offsets, starts, records = array("Q", [0]), array("Q", [len(cursor.data)]), array("Q")
    offset, start = 0, len(cursor.data)
    dictionary = None
    for row in range(count):
        record = cursor.position
        cursor.take(digests_size, "chunk digests")
        coded_length = cursor.integer("coded chunk length", MAX_CHUNK)
        length = cursor.integer("chunk length", MAX_CHUNK)
        if row == 0:
            if coded_length:
                digest = cursor.data[record : record + hash_type.size]
                dictionary = Chunk(0, 0, length, start, start + coded_length, b"", digest)
            start += coded_length
            starts[0] = start
            continue
        if length == 0 or coded_length == 0:
            raise _malformed(f"length of chunk {row - 1}", expected="> 0", found=min(length, coded_length))
        offset += length
        start += coded_length
        if max(offset, start) > MAX_IMAGE:
            raise _malformed("sum of the chunks", expected=f"<= {MAX_IMAGE}", found=max(offset, start))
        offsets.append(offset)
        starts.append(start)
        records.append(record)
    if cursor.position != end:
        raise _malformed("index size", expected=size, found=size + cursor.position - end)
    return Header(
        cursor.data, compression, hash_type, dictionary, has_plain_digests, offsets, starts, records
    )


def _skip_optional_elements(cursor: _Cursor) -> None:
    for _ in range(cursor.integer("optional element count", 256)):
        cursor.integer("optional element id", 1 << 30)
        cursor.take(cursor.integer("optional element size", MAX_HEADER), "optional element")


class _Cursor:
    """Takes a header apart from the front; every step is bounded by what is there."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def take(self, size: int, what: str) -> bytes:
        piece = self.data[self.position : self.position + size]
        if len(piece) != size:
            raise _malformed(f"{what} is cut short", expected=f"{size} bytes", found=len(piece))
        self.position += size
        return piece

    def integer(self, what: str, limit: int) -> int:
        """A compressed integer: 7-bit groups, the lowest first, the last one marked by bit 7."""
        data, position = self.data, self.position
        value = shift = 0
        for byte in data[position : position + _MAX_GROUPS]:
            position += 1
            value |= (byte & 0x7F) << shift
            if byte & 0x80:
                if value > limit:
                    raise _malformed(what, expected=f"<= {limit}", found=value)
                self.position = position
                return value
            shift += 7
        raise _malformed(f"{what} does not end", expected=f"at most {_MAX_GROUPS} bytes")

    def hash_type(self, what: str) -> HashType:
        value = self.integer(what, 1 << 30)
        if value not in set(HashType):
            raise UpdateError("header-unsupported", what, expected="0 to 3", found=value)
        return HashType(value)


def _encode(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F)
        value >>= 7
    groups.append(value | 0x80)
    return bytes(groups)


def _malformed(what: str, *, expected: object = None, found: object = None) -> UpdateError:
    return UpdateError("header-format", f"zchunk header: {what}", expected=expected, found=found)


def _mismatch(what: str, expected: bytes, found: bytes) -> TrustError:
    return TrustError("digest-mismatch", what, expected=expected.hex(), found=found.hex())
