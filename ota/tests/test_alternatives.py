"""The properties `rdiff` and `full`: strict, and what is written is what is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import UpdateError
from ota.formats import alternatives
from ota.formats.alternatives import MAX_WINDOW, Alternative, Method
from ota.formats.selection import Compression, Entry, Section

DIGEST, OTHER = "ab" * 32, "0" * 64
FULL = f"file=rootfs-2.0.zst size=70 sha256={DIGEST} compressed=zstd window=8388608"
RDIFF = f"base={OTHER}:512 file=a size=9 sha256={DIGEST} compressed=zstd window=1024"


def entry(**properties: tuple[str, ...]) -> Entry:
    return Entry(Section.IMAGES, "delta", "rootfs.zck-header", properties=properties)


def test_an_entry_may_offer_an_rdiff_delta_for_each_base_and_the_full_image() -> None:
    first, second, full = alternatives.parse(
        entry(rdiff=(RDIFF, RDIFF.replace(":512", ":7")), full=(FULL,), url=("https://h/x",))
    )
    assert first == Alternative(Method.RDIFF, "a", 9, DIGEST, Compression.ZSTD, 1024, (OTHER, 512))
    assert second.base == (OTHER, 7)
    assert full == Alternative(Method.FULL, "rootfs-2.0.zst", 70, DIGEST, Compression.ZSTD, 8 << 20, None)


def test_an_entry_without_them_offers_nothing() -> None:
    assert alternatives.parse(entry(url=("https://h/x",))) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        FULL,
        f" {RDIFF}",
        RDIFF.replace(" ", "  ", 1),
        f"{RDIFF} dictionary=x",
        RDIFF.replace("file=a", "file=../a"),
        RDIFF.replace("file=a", "file=.a"),
        RDIFF.replace("size=9", "size=0"),
        RDIFF.replace("size=9", "size=-9"),
        RDIFF.replace("compressed=zstd", "compressed=xz"),
        RDIFF.replace(DIGEST, DIGEST.upper()),
        RDIFF.replace("window=1024", f"window={MAX_WINDOW + 1}"),
        RDIFF.replace("window=1024", "window=¹"),
        f"{RDIFF}\n",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(UpdateError) as refused:
        alternatives.parse(entry(rdiff=(text,)))
    assert refused.value.code == "description-content"


def test_the_full_image_has_no_base_and_is_offered_once() -> None:
    for texts in ((RDIFF,), (FULL, FULL)):
        with pytest.raises(UpdateError):
            alternatives.parse(entry(full=texts))


@given(
    base=st.none()
    | st.tuples(st.integers(0, 1 << 256).map(lambda n: f"{n:064x}"[-64:]), st.integers(1, 10**15 - 1)),
    file=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", fullmatch=True),
    size=st.integers(1, 10**15 - 1),
    window=st.integers(1, MAX_WINDOW),
)
def test_what_is_rendered_is_parsed(base: tuple[str, int] | None, file: str, size: int, window: int) -> None:
    method = Method.RDIFF if base else Method.FULL
    made = Alternative(method, file, size, DIGEST, Compression.ZSTD, window, base)
    assert alternatives.parse(entry(**{method: (alternatives.render(made),)})) == (made,)


@pytest.mark.parametrize(
    ("of_zck", "of_file"),
    [
        ("https://host/folder/x.zck", "https://host/folder/rootfs-2.0.zst"),
        ("https://host/x.zck?signed=a/b", "https://host/rootfs-2.0.zst"),
    ],
)
def test_the_file_lies_beside_the_zck(of_zck: str, of_file: str) -> None:
    (full,) = alternatives.parse(entry(full=(FULL,)))
    assert alternatives.url(of_zck, full) == of_file
