"""The zchunk header: our parser against libzck's (test_zck.py has the corpora) and against hostile bytes."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import OtaError, TrustError, UpdateError
from ota.formats import zchunk

LENGTHS = st.lists(st.integers(1, 200_000), max_size=40)


def header_of(lengths: list[int]) -> bytes:
    return zchunk.render(
        (hashlib.sha256(bytes([n % 256])).digest(), length) for n, length in enumerate(lengths)
    )


@given(LENGTHS)
def test_what_was_rendered_is_parsed(lengths: list[int]) -> None:
    header = zchunk.parse_manifest(header_of(lengths))
    assert [chunk.length for chunk in header] == lengths
    assert [chunk.digest for chunk in header] == [
        hashlib.sha256(bytes([n % 256])).digest() for n in range(len(lengths))
    ]
    assert header.image_size == sum(lengths)
    assert header.file_size == len(header.data) + sum(lengths)


@given(LENGTHS, st.binary(max_size=20))
def test_bytes_behind_the_header_are_left_alone(lengths: list[int], rest: bytes) -> None:
    data = header_of(lengths)
    assert zchunk.parse(data + rest).data == data


def test_every_shortened_header_is_refused() -> None:
    data = header_of([10_000, 20_000, 30_000])
    for size in range(len(data)):
        with pytest.raises(UpdateError) as caught:
            zchunk.parse(data[:size])
        assert caught.value.code == "header-format"


def test_every_flipped_bit_is_refused() -> None:
    data = header_of([10_000, 20_000])
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(UpdateError):
                zchunk.parse(bytes(damaged))


def with_checksum(lead: bytes, body: bytes) -> bytes:
    """A header whose checksum is right, so that only the parser's own rules can refuse it."""
    return lead + hashlib.sha256(zchunk.MAGIC + lead[5:] + body).digest() + body


@given(st.data())
def test_a_hostile_header_with_a_right_checksum_never_gets_past_the_rules(data: st.DataObject) -> None:
    good = header_of([10_000, 20_000, 30_000])
    lead_size = good.index(hashlib.sha256(good[:7] + good[39:]).digest()) if len(good) < 250 else 8
    body = bytearray(good[lead_size + 32 :])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = zchunk.parse(with_checksum(good[:lead_size], bytes(body)))
    except OtaError:
        return
    assert header.image_size == sum(chunk.length for chunk in header) <= zchunk.MAX_IMAGE
    assert all(len(chunk.coded_digest) == header.hash_type.size for chunk in header)


def test_the_detached_form_is_read_too() -> None:
    data = header_of([10_000])
    assert len(zchunk.parse(zchunk.MAGIC_DETACHED + data[5:])) == 1


def test_a_manifest_needs_digests_of_the_plain_bytes() -> None:
    none = bytes(32)
    index = b"\x81\x82" + none + b"\x80\x80" + hashlib.sha256(b"x").digest() + b"\x81\x81"
    body = none + b"\x80" + b"\x80" + bytes([0x80 | len(index)]) + index + b"\x80"
    size = bytes([len(body) & 0x7F, 0x80 | len(body) >> 7])
    data = with_checksum(zchunk.MAGIC + b"\x81" + size, body)
    assert len(zchunk.parse(data)) == 1
    with pytest.raises(UpdateError) as caught:
        zchunk.parse_manifest(data)
    assert caught.value.code == "header-unsupported"


def test_chunks_are_proved_by_both_digests() -> None:
    plain = b"some bytes" * 100
    header = zchunk.parse(zchunk.render([(hashlib.sha256(plain).digest(), len(plain))]))
    decoder = zchunk.Decoder(header)
    assert decoder.decode(header.chunk(0), plain) == plain
    with pytest.raises(TrustError) as caught:
        decoder.decode(header.chunk(0), b"S" + plain[1:])
    assert caught.value.code == "digest-mismatch"
