"""multipart/byteranges as servers really write it, and as they must not."""

import io
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import NetworkError
from ota.formats import multipart
from ota.interfaces import Range, Reader
from ota.tests.readers import WAYS, Trickle, drain

FILE = bytes(range(256)) * 8
Way = Callable[[bytes], Reader]

ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def body(
    *ranges: tuple[int, int],
    mark: str = "B",
    eol: str = "\r\n",
    header: str = "Content-Range: bytes {first}-{last}/{total}",
    before: str = "\r\n",
    preamble: str = "",
    end: str = "\r\n--B--\r\n",
    total: object = len(FILE),
    file: bytes = FILE,
) -> bytes:
    """An answer with these half-open ranges of `file`, right unless told otherwise."""
    made = preamble.encode()
    for n, (start, stop) in enumerate(ranges):
        fields = header.format(first=start, last=stop - 1, total=total)
        head = eol.join([f"--{mark}", "Content-Type: application/octet-stream", fields, "", ""])
        made += (before if n else "").encode() + head.encode() + file[start:stop]
    return made + end.encode()


def read_all(stream: Reader, mark: bytes = b"B") -> list[tuple[int, int | None, bytes]]:
    return [(start, total, drain(part)) for start, total, part in multipart.parts(stream, mark)]


def expected(*ranges: tuple[int, int], total: int | None = len(FILE)) -> list[tuple[int, int | None, bytes]]:
    return [(start, total, FILE[start:stop]) for start, stop in ranges]


RANGES = [(0, 5), (100, 101), (1000, 1500)]
TOLERATED = {
    "nginx and Apache": body(*RANGES, preamble="\r\n"),
    "no preamble": body(*RANGES),
    "a preamble in words": body(*RANGES, preamble="This is a multipart message.\r\n--A\r\n\r\n"),
    "only line feeds": body(*RANGES, eol="\n", before="\n", end="\n--B--\n"),
    "lower-case headers": body(*RANGES, header="content-range: BYTES {first}-{last}/{total}"),
    "no space after the colon": body(*RANGES, header="Content-Range:bytes {first}-{last}/{total}"),
    "much space": body(*RANGES, header="Content-Range :   bytes  {first}-{last}/{total}  "),
    "other headers": body(
        *RANGES, header="ETag: x\r\nContent-Range: bytes {first}-{last}/{total}\r\nX-Empty:"
    ),
    "no line end before the boundary": body(*RANGES, before="", end="--B--\r\n"),
    "line ends too many before the boundary": body(*RANGES, before="\r\n\r\n\n", end="\r\n\r\n--B--"),
    "blanks behind the boundary": body(*RANGES, mark="B \t", end="\r\n--B-- \r\n"),
    "no line end at the end": body(*RANGES, end="\r\n--B--"),
    "no closing delimiter": body(*RANGES, end="\r\n"),
    "nothing behind the last part": body(*RANGES, end=""),
    "an epilogue": body(*RANGES, end="\r\n--B--\r\n--B\r\nthe end"),
}


@ways
@pytest.mark.parametrize("data", TOLERATED.values(), ids=TOLERATED)
def test_servers_may_differ(data: bytes, way: Way) -> None:
    assert read_all(way(data)) == expected(*RANGES)


def test_a_size_that_the_server_does_not_know_is_none() -> None:
    assert read_all(io.BytesIO(body(*RANGES, total="*"))) == expected(*RANGES, total=None)


def test_parts_come_in_the_servers_own_order_and_division() -> None:
    ranges = [(1000, 1500), (0, 5), (3, 101), (0, len(FILE))]
    assert read_all(io.BytesIO(body(*ranges))) == expected(*ranges)


def test_the_boundary_inside_data_is_data() -> None:
    file = b"\r\n--B--\r\n--B\r\nContent-Range: bytes 0-9/10\r\n\r\n"
    data = body((0, len(file)), file=file, total=len(file))
    assert read_all(io.BytesIO(data)) == [(0, len(file), file)]


def test_what_is_left_unread_is_drained_before_the_next_part() -> None:
    starts = []
    for start, _, part in multipart.parts(Trickle(body(*RANGES), 3), b"B"):
        part.read(2)
        starts.append(start)
    assert starts == [0, 100, 1000]


def test_a_part_ends_where_its_content_range_says() -> None:
    _, _, part = next(multipart.parts(io.BytesIO(body(*RANGES)), b"B"))
    assert part.read(1000) == FILE[:5]
    assert part.read(1000) == b""


REFUSED = {
    "no Content-Range": body((0, 5), header="X: y"),
    "two of them": body((0, 5), header="Content-Range: bytes 0-4/9\r\nContent-Range: bytes 5-9/10"),
    "not bytes": body((0, 5), header="Content-Range: items 0-4/9"),
    "an unsatisfied range": body((0, 5), header="Content-Range: bytes */9"),
    "backwards": body((0, 5), header="Content-Range: bytes 4-0/9"),
    "beyond the file": body((0, 5), header="Content-Range: bytes 0-9/9"),
    "negative": body((0, 5), header="Content-Range: bytes -5-4/9"),
    "signed": body((0, 5), header="Content-Range: bytes +0-4/9"),
    "not ASCII digits": body((0, 5), header="Content-Range: bytes \u0660-4/9"),
    "beyond 63 bits": body((0, 5), header="Content-Range: bytes 0-9223372036854775807/*"),
    "far beyond": body((0, 5), header=f"Content-Range: bytes 0-{'9' * 5000}/*"),
    "a part longer than it says": body((0, 5), (7, 9), file=FILE).replace(b"0-4", b"0-3"),
    "a part shorter than it says": body((0, 5), (7, 9), file=FILE).replace(b"0-4", b"0-8"),
    "headers without an end": body((0, 5), header="X: " + "y" * 10_000),
    "headers without number": body(
        (0, 5), header="X: y\r\n" * 2_000 + "Content-Range: bytes {first}-{last}/9"
    ),
    "a preamble without an end": b"x" * 10_000,
    "a preamble of many lines": b"x\r\n" * 10_000,
    "line ends without number": body((0, 5), end="\n" * 10_000),
}


@ways
@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_would_misplace_bytes_is_refused(data: bytes, way: Way) -> None:
    with pytest.raises(NetworkError) as caught:
        read_all(way(data))
    assert caught.value.code == "http-protocol"


def test_every_shortened_answer_loses_nothing_silently() -> None:
    data = body(*RANGES, preamble="\r\n")
    full = expected(*RANGES)
    for size in range(len(data)):
        got = []
        try:
            for start, total, part in multipart.parts(io.BytesIO(data[:size]), b"B"):
                got.append((start, total, drain(part)))
        except NetworkError as error:
            assert error.code == "transfer"
            assert got == full[: len(got)]
        else:
            assert got and got == full[: len(got)]  # it ended between two parts: the caller counts them


def test_an_endless_answer_is_not_read_on_behind_its_end() -> None:
    stream = Trickle(body((0, 5)) + bytes(10_000_000), 4096)
    assert read_all(stream) == expected((0, 5))
    assert stream.given < 100_000


@given(
    st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(1, 900)), min_size=1, max_size=8),
    st.sampled_from(["\r\n", "\n"]),
    st.integers(1, 40),
)
def test_any_ranges_are_read_back(ranges: Sequence[tuple[int, int]], eol: str, step: int) -> None:
    spans = [(start, min(start + length, len(FILE))) for start, length in ranges]
    assert read_all(Trickle(body(*spans, eol=eol, before=eol), step)) == expected(*spans)


@given(st.data())
def test_a_damaged_answer_is_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(body((0, 5), (7, 20)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        for start, total, part in multipart.parts(Trickle(bytes(damaged), 11), b"B"):
            stop = start + len(drain(part))
            assert start < stop and (total is None or stop <= total)
    except NetworkError as error:
        assert error.code in ("http-protocol", "transfer")


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("multipart/byteranges; boundary=abc", b"abc"),
        ("multipart/byteranges;boundary=abc", b"abc"),
        ('multipart/byteranges; boundary="a b:c"', b"a b:c"),
        ('Multipart/ByteRanges ; charset=x;  BOUNDARY = "abc" ; y=z', b"abc"),
        ('multipart/byteranges; note="; boundary=no"; boundary=yes', b"yes"),
        ("multipart/byteranges; boundary=00000000000000000001", b"00000000000000000001"),
        ("multipart/x-byteranges; boundary=abc", b"abc"),
        ("multipart/byteranges", None),
        ("multipart/byteranges; boundary=", None),
        ("multipart/byteranges; boundary=" + "x" * 300, None),
        ("multipart/mixed; boundary=abc", None),
        ("application/octet-stream", None),
        ("application/octet-stream; boundary=abc", None),
        ("", None),
    ],
)
def test_the_boundary_is_found_however_it_is_written(content_type: str, found: bytes | None) -> None:
    assert multipart.boundary(content_type) == found


@given(st.text(max_size=80))
def test_any_content_type_has_a_boundary_or_none(text: str) -> None:
    for content_type in (text, "multipart/byteranges; boundary" + text, "multipart/byteranges; " + text):
        found = multipart.boundary(content_type)
        assert found is None or 0 < len(found) <= multipart.MAX_BOUNDARY


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("bytes 0-0/1", (Range(0, 1), 1)),
        ("bytes 5-9/10", (Range(5, 10), 10)),
        (" Bytes\t5-9/*", (Range(5, 10), None)),
        ("bytes 0-9223372036854775805/9223372036854775806", (Range(0, (1 << 63) - 2), (1 << 63) - 2)),
    ],
)
def test_a_content_range_is_read(value: str, found: tuple[Range, int | None]) -> None:
    assert multipart.content_range(value) == found


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "bytes",
            "bytes 0-",
            "bytes -1/2",
            "bytes 0-0",
            "bytes 0-0/0",
            "bytes 5-4/9",
            "bytes 0-0/",
            "bytes=0-0/1",
            "0-0/1",
        ),
        *("bytes 0-1,3-4/9", "bytes 0 - 1/9", "bytes 0x0-1/9", "bytes 0_0-1/9", "bytes 0-0/1 bytes 0-0/1"),
    ],
)
def test_a_content_range_that_is_not_one_is_refused(value: str) -> None:
    with pytest.raises(NetworkError, match="http-protocol"):
        multipart.content_range(value)
