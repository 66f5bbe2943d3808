"""Our header parser and chunker against libzck and the zck program, on images and files of many kinds."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ota.errors import TrustError, UpdateError
from ota.formats import zchunk
from ota.native import zck
from ota.native.chunker import Chunker

FindTool = Callable[[str], Path]
SIZE = 6 << 20  # bytes

# The zchunk project's own test files, where somebody has them: ZCHUNK_TEST_FILES=.../zchunk/test/files
OWN_FILES = Path(os.environ.get("ZCHUNK_TEST_FILES", "/nonexistent"))
OWN_SHA256 = "394ed6c2"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a kind that root file systems have: programs, texts, empty ones, a sparse one."""
    folder = tmp_path_factory.mktemp("tree")
    noise = random.Random(7)
    for number, source in enumerate(sorted(Path(os.__file__).parent.glob("*.py"))[:60]):
        (folder / f"module{number}.py").write_bytes(source.read_bytes())
    (folder / "program").write_bytes(Path(os.path.realpath("/proc/self/exe")).read_bytes()[: 2 << 20])
    (folder / "noise").write_bytes(noise.randbytes(300_000))
    (folder / "empty").touch()
    (folder / "sparse").touch()
    os.truncate(folder / "sparse", 1 << 20)
    return folder


def ext4(tree: Path, image: Path, tool: FindTool) -> None:
    run(tool("mke2fs"), "-q", "-t", "ext4", "-d", tree, image, "12M")


def squashfs(tree: Path, image: Path, tool: FindTool) -> None:
    run(tool("mksquashfs"), tree, image, "-quiet", "-no-progress", "-comp", "zstd")


def erofs(tree: Path, image: Path, tool: FindTool) -> None:
    run(tool("mkfs.erofs"), "--quiet", "-zlz4hc", image, tree)


def noise(_tree: Path, image: Path, _tool: FindTool) -> None:
    image.write_bytes(random.Random(3).randbytes(SIZE))


def zeros(_tree: Path, image: Path, _tool: FindTool) -> None:
    image.write_bytes(bytes(SIZE + 12345))


def text(tree: Path, image: Path, _tool: FindTool) -> None:
    image.write_bytes(b"".join(path.read_bytes() for path in sorted(tree.glob("*.py"))))


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def decoded(header: zchunk.Header, file: bytes) -> bytes:
    """The image, every chunk proved."""
    dictionary = b""
    if header.dictionary:
        coded = file[header.dictionary.start : header.dictionary.stop]
        dictionary = zchunk.Decoder(header).decode(header.dictionary, coded)
    decoder = zchunk.Decoder(header, dictionary)
    return b"".join(decoder.decode(chunk, file[chunk.start : chunk.stop]) for chunk in header)


@pytest.mark.parametrize("make", [ext4, squashfs, erofs, noise, zeros, text], ids=lambda make: make.__name__)
def test_parser_and_chunker_equal_libzck(
    make: Callable[[Path, Path, FindTool], None], tree: Path, tmp_path: Path, tool: FindTool
) -> None:
    image, published = tmp_path / "image", tmp_path / "image.zck"
    make(tree, image, tool)
    run(tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", published, image)
    file, plain = published.read_bytes(), image.read_bytes()
    header = zchunk.parse_manifest(file)

    oracle = [
        (row.digest, row.uncompressed_digest, row.start, row.coded_length, row.length)
        for row in zck.chunks(header.data)
    ]
    ours = [(c.coded_digest, c.digest, c.start, c.stop - c.start, c.length) for c in header]
    assert ours == oracle
    assert (header.image_size, header.file_size) == (len(plain), len(file))

    chunker = Chunker()
    lengths = [*chunker.feed(plain), *filter(None, [chunker.finish()])]
    assert lengths == [chunk.length for chunk in header]
    assert hashlib.sha256(decoded(header, file)).digest() == hashlib.sha256(plain).digest()


MODES: dict[str, list[str]] = {
    "no dictionary": [],
    "dictionary": ["-D", "dictionary"],
    "not compressed": ["--compression-format=none"],
    "chunks by hand": ["-m", "-s", "def "],
    "chunks by hand, dictionary": ["-m", "-s", "def ", "-D", "dictionary"],
    "sha512": ["-h", "sha512"],
    "digests of the plain bytes": ["-u", "-h", "sha256"],
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_what_zck_writes_in_any_mode_decodes(
    mode: list[str], tree: Path, tmp_path: Path, tool: FindTool
) -> None:
    image, published, dictionary = (tmp_path / name for name in ("image", "image.zck", "dictionary"))
    text(tree, image, tool)
    dictionary.write_bytes(image.read_bytes()[:20_000])
    words = [str(dictionary) if word == "dictionary" else word for word in mode]
    run(tool("zck"), *words, "-o", published, image)
    file = published.read_bytes()
    header = zchunk.parse(file)
    assert decoded(header, file) == image.read_bytes()
    assert (header.dictionary is not None) == ("-D" in mode)


def test_other_coded_bytes_of_the_same_plain_ones_are_refused(tmp_path: Path, tool: FindTool) -> None:
    plain = b"the same text over and over. " * 1000
    (tmp_path / "image").write_bytes(plain)
    run(tool("zck"), "-u", "-h", "sha256", "-o", tmp_path / "image.zck", tmp_path / "image")
    file = (tmp_path / "image.zck").read_bytes()
    header = zchunk.parse_manifest(file)
    chunk = header.chunk(0)
    decoder = zchunk.Decoder(header)
    assert decoder.decode(chunk, file[chunk.start : chunk.stop]) == plain
    with pytest.raises(TrustError):
        decoder.decode(chunk, zstandard.ZstdCompressor(write_checksum=True).compress(plain))


def test_optional_elements_are_passed_over() -> None:
    none = bytes(32)
    elements = b"\x82" + b"\x81\x83abc" + b"\x82\x80"  # two: (1, "abc"), (2, "")
    index = b"\x81\x81" + none + none + b"\x80\x80"
    body = none + b"\x86" + b"\x80" + elements + bytes([0x80 | len(index)]) + index + b"\x80"
    lead = zchunk.MAGIC + b"\x81" + bytes([len(body) & 0x7F, 0x80 | len(body) >> 7])
    header = zchunk.parse(lead + hashlib.sha256(lead + body).digest() + body)
    assert (len(header), header.image_size) == (0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        zchunk.MAGIC,
        zchunk.MAGIC + b"\x7f" * 9 + b"\x81" + bytes(80),
        zchunk.MAGIC + b"\x81" + b"\x7f" * 8 + b"\x2d" + bytes(80),
        zchunk.MAGIC + b"\x83\x5f" + b"\x7f" * 8 + b"\x81" + bytes(80),
        zchunk.MAGIC + b"\x81" + b"\x7f" * 8 + b"\x9d" + bytes(1000),
        zchunk.MAGIC + b"\x84\x81" + bytes(80),
        b"\0ZCK2\x81\x81" + bytes(80),
    ],
    ids=[
        "nothing",
        "magic",
        "type",
        "size",
        "size behind type",
        "size overflows",
        "no such type",
        "version 2",
    ],
)
def test_numbers_that_are_too_large_and_files_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(UpdateError):
        zchunk.parse(data)


needs_own_files = pytest.mark.skipif(
    not OWN_FILES.is_dir(), reason="ZCHUNK_TEST_FILES does not name the zchunk project's test/files"
)


@needs_own_files
def test_the_zchunk_projects_good_files_decode() -> None:
    paths = [*OWN_FILES.glob("LICENSE.*.zck"), *OWN_FILES.glob("empty*.zck")]
    assert len(paths) == 7
    for path in paths:
        file = path.read_bytes()
        header = zchunk.parse(file)
        if ".header." in path.name:  # there is only the header
            assert len(header) == 16
        elif found := decoded(header, file):
            assert hashlib.sha256(found).hexdigest().startswith(OWN_SHA256), path


@needs_own_files
def test_the_zchunk_projects_bad_files_are_refused() -> None:
    paths = [path for word in ("compressed_int", "integer", "zerolen") for path in OWN_FILES.glob(f"{word}*")]
    assert len(paths) == 7
    for path in paths:
        with pytest.raises(UpdateError):
            zchunk.parse(path.read_bytes())
