"""Our use of librsync against the rdiff program, and against deltas that somebody damaged."""

from __future__ import annotations

import io
import os
import platform
import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.errors import DeviceError, OtaError, UpdateError
from ota.interfaces import Reader
from ota.native import rsync

MAGIC = b"rs\x026"
END = b"\0"
MIB = 1 << 20


class Trickle:
    """A reader that gives fewer bytes than asked for."""

    def __init__(self, data: bytes, most: int) -> None:
        self.stream, self.most = io.BytesIO(data), most

    def read(self, size: int, /) -> bytes:
        return self.stream.read(min(size, self.most))


class Stream:
    """A head, zeros and a tail, without holding them."""

    def __init__(self, head: bytes, zeros: int, tail: bytes) -> None:
        self.head, self.zeros, self.tail = io.BytesIO(head), zeros, io.BytesIO(tail)

    def read(self, size: int, /) -> bytes:
        if head := self.head.read(size):
            return head
        length = min(size, self.zeros)
        self.zeros -= length
        return bytes(length) or self.tail.read(size)


def patch(base: bytes, delta: bytes | Reader, *, size: int | None = None) -> bytes:
    with tempfile.TemporaryFile() as file:
        file.write(base)
        file.flush()
        source = io.BytesIO(delta) if isinstance(delta, bytes) else delta
        return b"".join(rsync.patch(file.fileno(), len(base) if size is None else size, source))


def delta_of(base: bytes, new: bytes, block: int = 512) -> bytes:
    signature = b"".join(rsync.signature(io.BytesIO(base), block=block))
    return b"".join(rsync.delta(signature, io.BytesIO(new)))


def pair() -> tuple[bytes, bytes]:
    noise = random.Random(1)
    base = b"".join(noise.randbytes(noise.randrange(5000)) + bytes(noise.randrange(9000)) for _ in range(100))
    return base, base[:90_000] + noise.randbytes(70_000) + base[100_000:] + base[1:30_000] + noise.randbytes(
        9
    )


BASE, NEW = pair()

# The program is bookworm's; another librsync makes another delta of the same files.
BOOKWORM = platform.freedesktop_os_release().get("VERSION_CODENAME") == "bookworm"


@pytest.mark.parametrize("most", [1 << 30, 1000], ids=["whole", "trickling"])
@pytest.mark.parametrize("block", [16, 512, 2048, 65536])
@pytest.mark.parametrize(
    ("base", "new"),
    [(BASE, NEW), (BASE, BASE), (BASE, b""), (b"", b""), (b"", NEW), (b"short", b"shorter")],
    ids=["changed", "same", "to nothing", "nothing", "from nothing", "below a block"],
)
def test_signature_and_delta_are_rdiffs(
    base: bytes, new: bytes, block: int, most: int, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    rdiff = tool("rdiff")
    (tmp_path / "base").write_bytes(base)
    (tmp_path / "new").write_bytes(new)
    subprocess.run([rdiff, "-b", str(block), "signature", "base", "signature"], cwd=tmp_path, check=True)
    subprocess.run([rdiff, "delta", "signature", "new", "delta"], cwd=tmp_path, check=True)

    signature = b"".join(rsync.signature(Trickle(base, most), block=block))
    # Plain truth values: pytest would take minutes to show how two long strings differ.
    assert bool(signature == (tmp_path / "signature").read_bytes())
    delta = b"".join(rsync.delta(signature, Trickle(new, most)))
    if BOOKWORM:
        assert bool(delta == (tmp_path / "delta").read_bytes())
    assert bool(patch(base, Trickle(delta, most)) == new)
    (tmp_path / "delta").write_bytes(delta)
    subprocess.run([rdiff, "patch", "base", "delta", "out"], cwd=tmp_path, check=True)
    assert bool((tmp_path / "out").read_bytes() == new)


def test_a_shortened_digest_is_rdiffs(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    (tmp_path / "base").write_bytes(BASE)
    subprocess.run(
        [tool("rdiff"), "-b", "512", "-S", "12", "signature", "base", "out"], cwd=tmp_path, check=True
    )
    ours = b"".join(rsync.signature(io.BytesIO(BASE), block=512, strong=12))
    assert ours == (tmp_path / "out").read_bytes()


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([BASE[at : at + 700] for at in range(0, 20_000, 701)]), max_size=20).map(
        b"".join
    ),
    st.lists(
        st.sampled_from([BASE[at : at + 700] for at in range(0, 20_000, 701)]) | st.binary(max_size=900),
        max_size=20,
    ).map(b"".join),
    st.integers(1, 2000),
)
def test_patch_makes_the_new_file_from_base_and_delta(base: bytes, new: bytes, block: int) -> None:
    assert patch(base, delta_of(base, new, block)) == new


@pytest.mark.parametrize("most", [1, 2, 3, 10_000])
def test_a_delta_may_come_in_any_pieces(most: int) -> None:
    assert patch(BASE, Trickle(delta_of(BASE, NEW), most)) == NEW


def test_a_delta_cut_short_anywhere_is_refused() -> None:
    delta = delta_of(BASE[:3000], BASE[1000:2900] + b"something new" + BASE[:600])
    for size in range(len(delta)):
        with pytest.raises(UpdateError) as refusal:
            patch(BASE[:3000], delta[:size])
        assert refusal.value.code == "delta-format"


@pytest.mark.parametrize(
    "delta",
    [
        b"RS\x026" + END,
        MAGIC + b"\x55" + END,
        MAGIC + b"\xff" + END,
        MAGIC + b"\x41\x00" + END,
        MAGIC + b"\x44" + bytes([0xFF] * 8) + END,
        MAGIC + b"\x45\x00\x00" + END,
        MAGIC + b"\x54" + bytes([0xFF] * 16) + END,
        MAGIC + END + b"x",
    ],
    ids=["magic", "reserved", "last", "no literal", "literal < 0", "no copy", "copy < 0", "trailing byte"],
)
def test_a_malformed_delta_is_refused(delta: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UpdateError) as refusal:
        patch(BASE, delta)
    assert refusal.value.code == "delta-format"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("start", "length"), [(0, 101), (100, 1), (101, 1), (90, 11), (1 << 40, 1), (99, (1 << 62) + 7)]
)
def test_a_copy_past_the_end_of_the_base_is_refused(start: int, length: int) -> None:
    copy = MAGIC + b"\x54" + start.to_bytes(8) + length.to_bytes(8) + END
    for base, size in ((BASE, 100), (BASE[:100], 100), (BASE[:100], 1 << 62)):
        with pytest.raises(UpdateError) as refusal:
            patch(base, copy, size=size)
        assert refusal.value.code == "delta-base"


def test_a_copy_up_to_the_end_of_the_base_is_made() -> None:
    assert patch(BASE, MAGIC + b"\x45\x5a\x0a" + END, size=100) == BASE[90:100]


def test_a_base_that_cannot_be_read_is_the_devices_fault(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(DeviceError) as refusal:
            list(rsync.patch(folder, 100, io.BytesIO(MAGIC + b"\x45\x00\x05" + END)))
    finally:
        os.close(folder)
    assert refusal.value.code == "slot-unreadable"
    assert refusal.value.found == "Is a directory"


def test_a_readers_own_refusal_passes_through() -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise UpdateError("archive-truncated", "cut off")

    with pytest.raises(UpdateError) as refusal:
        patch(BASE, Broken())
    assert refusal.value.code == "archive-truncated"


def test_a_delta_is_read_to_its_end_so_that_its_digest_is_proved() -> None:
    class Proving(io.BytesIO):
        ended = False

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.ended = self.ended or not data
            return data

    # It ends with a buffer, so that the job is done before anybody has seen the end of the source.
    length = rsync.BUFFER - len(MAGIC) - 5 - len(END)
    exact = MAGIC + b"\x43" + length.to_bytes(4) + bytes(length) + END
    for delta, new in ((delta_of(BASE, NEW), NEW), (exact, bytes(length))):
        source = Proving(delta)
        assert patch(BASE, source) == new
        assert source.ended
        with pytest.raises(UpdateError) as refusal:
            patch(BASE, delta + b"x")
        assert refusal.value.code == "delta-format"


def test_a_damaged_delta_never_does_more_than_make_a_wrong_file() -> None:
    noise = random.Random(2)
    delta = delta_of(BASE[:50_000], BASE[3000:40_000] + BASE[100:20_000] + b"new" * 20)
    outcomes = set()
    for _ in range(3000):
        damaged = bytearray(delta)
        for _ in range(noise.randrange(1, 4)):
            damaged[noise.randrange(len(delta))] = noise.randrange(256)
        del damaged[noise.randrange(4, len(delta) * 3) :]
        try:
            patch(BASE[:50_000], bytes(damaged))
            outcomes.add("done")
        except OtaError as refusal:
            outcomes.add(refusal.code)
    assert outcomes == {"done", "delta-format", "delta-base"}


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"rs\x01G",
        bytes(12),
        b"XXXX\0\0\2\0\0\0\0\x20",
        b"rs\x01G\0\0\0\0\0\0\0\x20",
        b"rs\x01G\0\0\2\0\0\0\0\x21",
        b"rs\x01G\x7f\0\2\0\0\0\0\x20",
        b"rs\x01G\0\0\2\0\0\0\0\x20" + bytes(38),
        b"rs\x016\0\0\2\0\0\0\0\x20",
    ],
    ids=["empty", "short", "zero", "magic", "block 0", "digest 33", "block 2 GB", "cut off", "md4 of 32"],
)
def test_a_malformed_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(UpdateError) as refusal:
        list(rsync.delta(signature, io.BytesIO(NEW)))
    assert refusal.value.code == "delta-format"


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("command", ["literal", "copy"])
def test_patching_takes_memory_for_the_buffers_only(command: str) -> None:
    size = 256 * MIB
    with tempfile.TemporaryFile() as base:
        base.truncate(size)
        if command == "literal":
            delta = Stream(MAGIC + b"\x44" + size.to_bytes(8), size, END)
        else:
            delta = Stream(MAGIC + b"\x54" + bytes(8) + size.to_bytes(8) + END, 0, b"")
        before, most, made = resident(), 0, 0
        for piece in rsync.patch(base.fileno(), size, delta):
            most, made = max(most, resident()), made + len(piece)
    assert made == size
    assert most - before < 4 * MIB


def test_abandoned_jobs_give_their_memory_back() -> None:
    signature = b"".join(rsync.signature(io.BytesIO(BASE * 4), block=64))
    before = 0
    for turn in range(60):
        next(rsync.delta(signature, io.BytesIO(NEW)))
        rsync.delta(signature, io.BytesIO(NEW))
        rsync.signature(io.BytesIO(BASE), block=64)
        with pytest.raises(UpdateError):
            patch(BASE, MAGIC + b"\x55")
        if turn == 20:
            before = resident()
    assert resident() - before < 4 * MIB
