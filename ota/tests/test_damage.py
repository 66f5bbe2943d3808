"""Where a slot is damaged is found, told and mended: bit flips, lost blocks, mounts, drift."""

from __future__ import annotations

import contextlib
import io
import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ota import cli
from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import Range
from ota.sync import damage
from ota.sync.damage import Damage, Kind
from ota.tests.world import IMAGE_SIZE, World

BLOCK = 4096  # bytes
LOST = Range(2 << 20, 3 << 20)  # in the midst of a file's data


def package(world: World, image: str) -> Path:
    return world.make_delta_package(getattr(world, image))


def manifest(world: World, image: str) -> Header:
    return zchunk.parse_manifest(world.make_delta(getattr(world, image))[1].read_bytes())


def install(world: World, image: str) -> None:
    """`image` in slot b; slot a holds v1, and both manifests are known."""
    assert world.ota("adopt", "a", world.make_delta(world.v1)[1]).status == 0
    assert world.ota("install", package(world, image)).status == 0


def change(slot: Path, how: Callable[[bytearray], None]) -> None:
    data = bytearray(slot.read_bytes())
    how(data)
    slot.write_bytes(data)


def flip_bits(slot: Path, count: int) -> dict[int, int]:
    """Flip single bits all over the image; returns offset -> bit mask."""
    chance = random.Random(21)
    flips = {chance.randrange(IMAGE_SIZE): 1 << chance.randrange(8) for _ in range(count)}

    def flip(data: bytearray) -> None:
        for offset, bit in flips.items():
            data[offset] ^= bit

    change(slot, flip)
    return flips


def verify(world: World, *options: str) -> Mapping[str, Any]:
    """What `ota verify b` says of slot b, as JSON has it."""
    slots: Any = world.ota("verify", "b", *options).answer["slots"]
    answer: Mapping[str, Any] = slots["b"]
    return answer


def entries(answer: Mapping[str, Any]) -> list[Damage]:
    assert answer["damage_total"] == len(answer["damage"])
    return [Damage(one["offset"], one["length"], Kind(one["kind"])) for one in answer["damage"]]


def chunks_at(header: Header, offsets: Iterable[int]) -> set[int]:
    """The chunks that these bytes lie in."""
    starts = [chunk.offset for chunk in header]
    return {bisect_right(starts, offset) - 1 for offset in offsets}


def coded_bytes(header: Header, digests: set[bytes]) -> int:
    """What it takes to fetch these chunks, each once."""
    lengths = {c.digest: c.stop - c.start for c in header if c.digest in digests}
    return sum(lengths.values())


def test_every_flipped_bit_is_found_and_mended_and_only_what_is_missing_is_fetched(world: World) -> None:
    install(world, "v2")
    flips = flip_bits(world.slot_b, 100)
    header, running = manifest(world, "v2"), {chunk.digest for chunk in manifest(world, "v1")}
    answer = verify(world)
    hit = chunks_at(header, flips)
    assert answer["damaged_chunks"] == len(hit)
    found = entries(answer)
    exact = {one.offset for one in found if one.kind is Kind.BIT_FLIP and one.length == 1}
    assert exact <= set(flips)
    for offset in flips:
        (number,) = chunks_at(header, [offset])
        inside = any(one.offset <= offset < one.stop for one in found)
        assert offset in exact if header.digest(number) in running else inside
    repaired = verify(world, "--repair")
    assert repaired["damage"] == answer["damage"]
    assert world.holds(world.slot_b, world.v2)
    missing = {header.digest(number) for number in hit} - running
    assert missing
    assert repaired["fetched_bytes"] <= coded_bytes(header, missing)


def test_what_the_running_slot_has_is_mended_without_a_server(world: World) -> None:
    install(world, "v1")
    record = world.folder / "state/slots/b.json"
    stored = json.loads(record.read_text())
    record.write_text(json.dumps({**stored, "url": "http://127.0.0.1:9/v1.ext4.zck"}))  # nobody listens
    flips = flip_bits(world.slot_b, 100)
    repaired = verify(world, "--repair")
    found = entries(repaired)
    assert [(one.offset, one.length) for one in found] == [(offset, 1) for offset in sorted(flips)]
    assert {one.kind for one in found} == {Kind.BIT_FLIP}
    assert (repaired["repaired"], repaired["fetched_bytes"], repaired["requests"]) == (True, 0, 0)
    assert world.holds(world.slot_b, world.v1)


def spoil(slot: Path) -> list[int]:
    """20 random blocks, a superblock and a MiB in the midst of data; returns where all those bytes lie."""
    chance = random.Random(22)
    blocks = [n * BLOCK for n in chance.sample(range(LOST.stop // BLOCK + 1, IMAGE_SIZE // BLOCK), 20)]

    def write(data: bytearray) -> None:
        for offset in blocks:
            data[offset : offset + BLOCK] = chance.randbytes(BLOCK)
        data[1024 + 44 : 1024 + 56] = chance.randbytes(12)  # s_mtime to s_max_mnt_count, as mounting does
        data[LOST.start : LOST.stop] = bytes(len(LOST))

    before = slot.read_bytes()
    change(slot, write)
    return [n for n, (old, new) in enumerate(zip(before, slot.read_bytes(), strict=True)) if old != new]


def test_lost_blocks_mounts_and_foreign_bytes_look_different(world: World) -> None:
    install(world, "v1")
    changed = spoil(world.slot_b)
    found = entries(verify(world))
    covered = [n for one in found for n in range(one.offset, one.stop)]
    assert set(changed) <= set(covered)
    (superblock,) = (one for one in found if one.kind is Kind.SUPERBLOCK)
    assert (superblock.offset, superblock.stop) == (min(changed), max(n for n in changed if n < 2048) + 1)
    for one in found:
        if one is not superblock:
            lost = LOST.start <= one.offset < LOST.stop
            # Of a byte with one bit, a zero is one bit less.
            assert one.kind in ((Kind.ZEROED, Kind.BIT_FLIP) if lost else (Kind.OVERWRITTEN,)), one
    assert sum(one.length for one in found if one.kind is Kind.ZEROED) > 1 << 19
    assert world.ota("verify", "b", "--repair").status == 0
    assert world.holds(world.slot_b, world.v1)


def test_without_the_right_bytes_chunks_are_reported_as_a_whole(world: World) -> None:
    assert world.ota("install", package(world, "v2")).status == 0
    (world.folder / "state/slots/a.zck-header").unlink()
    header = manifest(world, "v2")
    hit = chunks_at(header, spoil(world.slot_b))
    found = entries(verify(world))
    times = Counter(chunk.digest for chunk in header)
    # The slot itself has other chunks twice, and so the right bytes.
    for chunk in (header.chunk(number) for number in hit if times[header.digest(number)] == 1):
        end = chunk.offset + chunk.length
        assert any(one.offset <= chunk.offset and end <= one.stop for one in found)
    assert (found[0].offset, found[0].kind) == (0, Kind.SUPERBLOCK)
    assert {one.kind for one in found[1:]} == {Kind.OVERWRITTEN, Kind.ZEROED}


def test_a_drifted_running_slot_costs_the_chunks_hit_and_no_more(world: World) -> None:
    assert world.ota("adopt", "a", world.make_delta(world.v1)[1]).status == 0
    swu = package(world, "v2")
    planned: Any = world.ota("plan", swu).answer["fetched_bytes"]  # JSON
    old, new = manifest(world, "v1"), manifest(world, "v2")
    hit = {old.digest(number) for number in chunks_at(old, spoil(world.slot_a))}
    installed = world.ota("install", swu)
    assert installed.status == 0, installed
    assert world.holds(world.slot_b, world.v2)
    fetched: Any = installed.answer["fetched_bytes"]
    assert planned < fetched <= planned + coded_bytes(new, hit)


def test_the_text_has_one_line_for_each_damage_and_ends_somewhere(world: World) -> None:
    install(world, "v1")
    flips = sorted(flip_bits(world.slot_b, 25))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = cli.main(
            ["--config", str(world.folder / "device.toml"), "verify", "b", "--progress", "none"]
        )
    assert status
    lines = out.getvalue().splitlines()
    start = lines.index("    damage:") + 1
    assert lines[start:] == [
        *(f"      at {offset}: 1 bytes, bit flip" for offset in flips[:20]),
        "      ... and 5 more",
    ]


RIGHT = random.Random(23).randbytes(10_000)
EXT = RIGHT[:1080] + b"\x53\xef" + RIGHT[1082:]


def changed(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    result = bytearray(data)
    for offset, new in changes:
        result[offset : offset + len(new)] = new
    return bytes(result)


def other(data: bytes) -> bytes:
    """As many bytes, each with all bits different."""
    return bytes(byte ^ 0xFF for byte in data)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [(63, [(5000, 65, Kind.OVERWRITTEN)]), (64, [(5000, 1, Kind.OVERWRITTEN), (5065, 1, Kind.OVERWRITTEN)])],
)
def test_what_differs_close_together_is_one_damage(gap: int, expected: list[tuple[int, int, Kind]]) -> None:
    second = 5001 + gap
    found = changed(RIGHT, (5000, other(RIGHT[5000:5001])), (second, other(RIGHT[second : second + 1])))
    assert list(damage.compare(0, found, RIGHT)) == [Damage(*one) for one in expected]


def test_equal_bytes_have_no_damage() -> None:
    assert list(damage.compare(7, RIGHT, RIGHT)) == []


@pytest.mark.parametrize(
    ("right", "places", "expected"),
    [
        (EXT, [1068, 1400, 2047], (1068, 980, Kind.SUPERBLOCK)),
        (b"hsqs" + RIGHT, [8, 95], (8, 88, Kind.SUPERBLOCK)),
        (RIGHT[:1024] + b"\xe2\xe1\xf5\xe0" + RIGHT, [1151], (1151, 1, Kind.SUPERBLOCK)),
        (EXT, [2048], (2048, 1, Kind.OVERWRITTEN)),
        (RIGHT, [1068], (1068, 1, Kind.OVERWRITTEN)),
    ],
    ids=["ext", "squashfs", "erofs", "behind", "none"],
)
def test_superblocks_are_known_by_their_magic(
    right: bytes, places: list[int], expected: tuple[int, int, Kind]
) -> None:
    found = changed(right, *((place, other(right[place : place + 1])) for place in places))
    assert list(damage.compare(0, found, right)) == [Damage(*expected)]


def test_a_single_bit_of_a_superblock_is_a_bit_flip_for_a_mount_changes_more() -> None:
    found = changed(EXT, (1100, bytes([EXT[1100] ^ 4])))
    assert list(damage.compare(0, found, EXT)) == [Damage(1100, 1, Kind.BIT_FLIP)]


def test_offsets_are_those_of_the_slot() -> None:
    found = changed(EXT[1000:], (1400 - 1000, bytes(8)))
    assert [(one.offset, one.length) for one in damage.compare(1000, found, EXT[1000:])] == [(1400, 8)]


def test_the_list_is_bounded_and_the_count_is_whole() -> None:
    report = damage.collect(Damage(1000 * n, 1, Kind.BIT_FLIP) for n in range(1500))
    answer: Mapping[str, Any] = report.to_json()
    assert (answer["damage_total"], len(answer["damage"])) == (1500, 1000)
    lines: Any = report.to_text()["damage"]
    assert lines[-1] == "... and 1480 more"
