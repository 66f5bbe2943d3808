"""The .swu container: every kind of archive in `archives`, our writer, and GNU cpio both ways."""

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import ConfigError, OtaError, UpdateError
from ota.formats import cpio
from ota.interfaces import Reader
from ota.tests.archives import ACCEPTED, CASES, Case, archive, member, trailer
from ota.tests.readers import WAYS, Trickle, drain

FILES = {
    "sw-description": b'software = { version = "1"; };',
    "sw-description.sig": bytes(range(256)),
    "a.bin": b"\xff" * 1001,
}
Way = Callable[[bytes], Reader]
Gnu = Callable[..., subprocess.CompletedProcess[bytes]]

ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def read_all(stream: Reader) -> list[tuple[str, bytes]]:
    return [(found.name, drain(payload)) for found, payload in cpio.members(stream)]


def written(files: list[tuple[str, Path | bytes]]) -> bytes:
    output = io.BytesIO()
    cpio.write(output, files)
    return output.getvalue()


@ways
@cases
def test_an_archive_is_read_or_refused_with_its_code(case: Case, way: Way) -> None:
    stream = way(case.build(FILES))
    if not case.archive:
        assert read_all(stream)
        return
    with pytest.raises(UpdateError) as caught:
        read_all(stream)
    assert caught.value.code in case.codes


@ways
@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_an_accepted_archive_gives_every_file_unchanged(case: Case, way: Way) -> None:
    found = read_all(way(case.build(FILES)))
    assert FILES.items() <= dict(found).items()


@cases
def test_draining_decides_as_reading_does(case: Case) -> None:
    def outcome(read: Callable[[], object]) -> str | None:
        try:
            read()
        except UpdateError as error:
            return error.code
        return None

    data = case.build(FILES)
    skipped = outcome(lambda: [found for found, _ in cpio.members(io.BytesIO(data))])
    assert skipped == outcome(lambda: read_all(io.BytesIO(data)))


def test_a_member_says_where_its_data_stands() -> None:
    data = archive(FILES)
    for found, _ in cpio.members(io.BytesIO(data)):
        assert data[found.offset : found.offset + found.size] == FILES[found.name]
        assert found.checksum == sum(FILES[found.name])


def test_a_newc_member_has_no_checksum() -> None:
    data = archive(FILES, magic=b"070701")
    assert {found.checksum for found, _ in cpio.members(io.BytesIO(data))} == {None}


def test_a_payload_ends_where_its_member_does() -> None:
    for found, payload in cpio.members(io.BytesIO(archive(FILES))):
        assert payload.read(10_000) == FILES[found.name]
        assert payload.read(10_000) == b""


def test_what_is_left_unread_is_drained_before_the_next_member() -> None:
    names = []
    for found, payload in cpio.members(Trickle(archive(FILES), 5)):
        payload.read(3)
        names.append(found.name)
    assert names == list(FILES)


def test_the_last_bytes_of_a_damaged_member_are_not_handed_out() -> None:
    data = member("a.bin", b"damaged", checksum=1) + trailer()
    _, payload = next(cpio.members(io.BytesIO(data)))
    assert payload.read(6) == b"damage"
    with pytest.raises(UpdateError, match="archive-checksum"):
        payload.read(1)


def test_a_wrong_checksum_of_an_empty_member_is_found() -> None:
    data = member("a.bin", b"", checksum=1) + trailer()
    with pytest.raises(UpdateError, match="archive-checksum"):
        read_all(io.BytesIO(data))


def test_the_checksum_counts_modulo_two_to_the_32() -> None:
    data = member("a.bin", b"\xff" * 100, checksum=25_500) + trailer()
    assert read_all(io.BytesIO(data)) == [("a.bin", b"\xff" * 100)]


def test_garbage_after_the_trailer_is_not_read_for_ever() -> None:
    stream = Trickle(archive(FILES) + b"x" * 10_000_000, 4096)
    read_all(stream)
    assert stream.given < 200_000


def test_a_name_length_of_zero_is_refused() -> None:
    data = member("", b"", nul=False) + trailer()
    with pytest.raises(UpdateError, match="member-name"):
        read_all(io.BytesIO(data))


def test_names_with_dots_that_do_not_climb_are_no_offence() -> None:
    files = {"a..b": b"1", "..c": b"2", "d/e..": b"3"}
    assert read_all(io.BytesIO(archive(files))) == list(files.items())


@pytest.mark.parametrize("field", [b"0000000g", b"+0000001", b"0000_001", b" 0000001", b"0x000001"])
def test_a_length_that_is_not_eight_hex_digits_is_refused(field: bytes) -> None:
    good = member("a.bin", b"data")
    for at in (54, 94, 102):
        with pytest.raises(UpdateError, match="archive-format"):
            read_all(io.BytesIO(good[:at] + field + good[at + 8 :] + trailer()))


def test_every_shortened_archive_is_refused() -> None:
    data = archive(FILES).rstrip(b"\0")  # the padding and the NUL of the trailer's name may be absent
    for size in range(len(data)):
        with pytest.raises(UpdateError, match="archive-truncated"):
            read_all(io.BytesIO(data[:size]))


@given(st.data())
def test_a_damaged_archive_is_read_or_refused_but_never_breaks(data: st.DataObject) -> None:
    good = archive({"sw-description": b"x = 1;", "a.bin": b"abc"})
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_all(io.BytesIO(bytes(damaged)))
    except OtaError as error:
        assert error.exit_status == 3


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=60
).filter(lambda name: name not in ("..", cpio.TRAILER))


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=6))
def test_what_is_written_is_read(files: dict[str, bytes]) -> None:
    data = written([*files.items()])
    assert read_all(Trickle(data, 50)) == list(files.items())
    assert len(data) % 512 == 0


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"content")
    (tmp_path / "two").write_bytes(b"content")
    (tmp_path / "two").chmod(0o755)
    assert (
        written([("a", tmp_path / "one")])
        == written([("a", tmp_path / "two")])
        == written([("a", b"content")])
    )


def test_a_file_is_written_in_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    (tmp_path / "large").write_bytes(content)
    assert read_all(io.BytesIO(written([("large", tmp_path / "large")]))) == [("large", content)]


@pytest.mark.parametrize(
    "name", ["", "/a", "../a", "a/..", "a\0b", "n" * 255, "TRAILER!!!", "\udcff", "\ud800", "ä" * 128]
)
def test_a_name_that_no_reader_takes_is_not_written(name: str) -> None:
    with pytest.raises(ConfigError, match="release-content"):
        written([(name, b"")])


def test_the_longest_name_is_written_and_read() -> None:
    assert read_all(io.BytesIO(written([("n" * 254, b"x")]))) == [("n" * 254, b"x")]


def test_a_name_is_not_written_twice() -> None:
    with pytest.raises(ConfigError, match="release-content"):
        written([("a", b"1"), ("a", b"1")])


def test_a_file_of_4_gib_is_not_written(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 32)  # sparse
    with pytest.raises(ConfigError, match="release-content"):
        written([("large", large)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"file-missing.*gone"):
        written([("a", tmp_path / "gone")])


def test_a_file_that_changes_while_it_is_packed_is_noticed(tmp_path: Path) -> None:
    changing = tmp_path / "changing"
    changing.write_bytes(b"before")

    class Output(io.BytesIO):
        def write(self, data: Any, /) -> int:
            changing.write_bytes(b"after!")
            return super().write(data)

    with pytest.raises(ConfigError, match="changed while it was packed"):
        cpio.write(Output(), [("a", changing)])


def test_gnu_cpio_verifies_and_extracts_what_is_written(tmp_path: Path, gnu_cpio: Gnu) -> None:
    files = [*FILES.items(), ("empty", b""), ("n" * 254, b"long name")]
    data = written(list(files))
    listed = gnu_cpio(tmp_path, data, "--list", "--only-verify-crc")
    assert listed.stdout.decode().split() == [name for name, _ in files]
    assert b"checksum" not in listed.stderr
    gnu_cpio(tmp_path, data, "--extract", "--no-preserve-owner")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict(files)
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tmp_path.iterdir())


def test_gnu_cpio_finds_a_flipped_bit_in_what_was_written(tmp_path: Path, gnu_cpio: Gnu) -> None:
    data = written([("a.bin", b"content")]).replace(b"content", b"cOntent")
    assert b"checksum error" in gnu_cpio(tmp_path, data, "--extract", "--only-verify-crc").stderr


@ways
@pytest.mark.parametrize("form", ["crc", "newc"])
def test_what_gnu_cpio_writes_is_read(form: str, way: Way, tmp_path: Path, gnu_cpio: Gnu) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    names = "".join(f"{name}\n" for name in FILES).encode()
    made = gnu_cpio(tmp_path, names, "--create", "--format", form).stdout
    assert read_all(way(made)) == list(FILES.items())


@pytest.fixture
def gnu_cpio(tool: Callable[[str], Path]) -> Gnu:
    program = str(tool("cpio"))

    def run(folder: Path, given: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [program, "--quiet", *arguments]
        return subprocess.run(command, cwd=folder, input=given, capture_output=True, check=True)

    return run
