"""Packages that offer several ways to one image: the device takes the cheapest that it can apply."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import zstandard

from ota.formats import alternatives
from ota.formats.alternatives import Alternative, Method
from ota.formats.selection import Compression
from ota.interfaces import BlockTarget
from ota.io.spool import RESERVE, STEP
from ota.sync import footprint
from ota.sync.inflow import Inflow
from ota.tests import stock
from ota.tests.world import IMAGE_SIZE, Outcome, World, sha256

FORESEEN = (
    "fetched_bytes", "requests", "kept_bytes", "copied_bytes", "patched_bytes", "zero_bytes", "written_bytes",
    "verified_bytes",
)  # fmt: skip

ENTRY = "v2.ext4.zck-header"
WINDOW = 1 << 20  # bytes

Base = tuple[str, int]  # sha256 and bytes


@dataclass(frozen=True, slots=True)
class Shop:
    """What the vendor publishes besides the .zck of v2."""

    world: World

    def rdiff(self, base: Path, name: str = "v2-from-v1.rdiff.zst", block: int = 1024) -> Alternative:
        """Made with the `rdiff` program, as a vendor would."""
        signature, delta = self.world.folder / "signature", self.world.folder / "delta"
        for path in (signature, delta):
            path.unlink(missing_ok=True)
        program = self.world.tool("rdiff")
        subprocess.run([program, "-b", str(block), "signature", base, signature], check=True)
        subprocess.run([program, "delta", signature, self.world.v2, delta], check=True)
        return self.offer(name, delta.read_bytes(), (sha256(base), base.stat().st_size))

    def full(self) -> Alternative:
        return self.offer("v2.zst", self.world.v2.read_bytes(), None)

    def offer(self, name: str, plain: bytes, base: Base | None) -> Alternative:
        settings = zstandard.ZstdCompressionParameters.from_level(9, window_log=WINDOW.bit_length() - 1)
        compressor = zstandard.ZstdCompressor(compression_params=settings).compressobj()
        return self.put(name, compressor.compress(plain) + compressor.flush(), base)

    def put(self, name: str, data: bytes, base: Base | None) -> Alternative:
        """Publish a file as it is."""
        (self.world.publish / name).write_bytes(data)
        method = Method.RDIFF if base else Method.FULL
        digest = hashlib.sha256(data).hexdigest()
        return Alternative(method, name, len(data), digest, Compression.ZSTD, WINDOW, base)

    def package(self, *offered: Alternative) -> Path:
        """With the zchunk header, and these alternatives to it."""
        return self.world.make_package(self.describe(*offered), self.world.make_delta(self.world.v2)[1])

    def describe(self, *offered: Alternative) -> str:
        published, header = self.world.make_delta(self.world.v2)
        said = ""
        for method in (Method.RDIFF, Method.FULL):
            texts = [f'"{alternatives.render(one)}"' for one in offered if one.method is method]
            said += f"{method} = [ {', '.join(texts)} ]; " if texts else ""
        entry = (
            f'{{ filename = "{header.name}"; type = "delta"; device = "/dev/mmcblk0p3"; '
            f'sha256 = "{sha256(header)}"; properties: {{ url = "{self.world.url_of(published)}"; '
            f'chain = "raw"; source = "/dev/mmcblk0p2"; {said}}}; }}'
        )
        return self.world.description(entry)


@pytest.fixture(scope="module")
def shop(shared: World) -> Shop:
    return Shop(shared)


@pytest.fixture(scope="module")
def rdiff(shop: Shop) -> Alternative:
    return shop.rdiff(shop.world.v1)


@pytest.fixture(scope="module")
def adopted(shared: World) -> Path:
    """What the device knows of slot a once it installed v1."""
    shared.reset()
    assert shared.ota("adopt", "a", shared.make_delta(shared.v1)[1]).status == 0
    return (shared.folder / "state/slots").rename(shared.folder / "adopted")


@pytest.fixture(autouse=True)
def known(world: World, adopted: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Slot a was installed by us; the log is looked at."""
    caplog.set_level(logging.INFO)
    shutil.copytree(adopted, world.folder / "state/slots")


@pytest.fixture
def served(world: World) -> Callable[[str], int]:
    """How many bytes of a file were sent since the test began."""
    start = len(world.server.requests())
    return lambda name: sum(
        request.body for request in world.server.requests()[start:] if request.path == f"/{name}"
    )


def methods(outcome: Outcome) -> object:
    return outcome.answer.get("methods")


def installed(world: World, outcome: Outcome, method: str) -> None:
    assert outcome.status == 0, outcome.errors
    assert bool(world.holds(world.slot_b, world.v2))
    assert methods(outcome) == {ENTRY: method}
    assert not list((world.folder / "state").glob("spool/*"))


def agree(world: World, package: Path, method: str) -> Outcome:
    """Plan and install say the same."""
    planned, done = world.ota("plan", package), world.ota("install", package)
    installed(world, done, method)
    assert methods(planned) == methods(done)
    assert {key: planned.answer[key] for key in FORESEEN} == {key: done.answer[key] for key in FORESEEN}
    return done


def alter(slot: Path, offset: int) -> None:
    data = bytearray(slot.read_bytes())
    data[offset] ^= 1
    slot.write_bytes(data)


def test_where_the_base_is_intact_rdiff_is_taken(
    world: World, shop: Shop, rdiff: Alternative, served: Callable[[str], int]
) -> None:
    done = agree(world, shop.package(rdiff), "rdiff")
    assert (done.answer["fetched_bytes"], done.answer["requests"]) == (rdiff.size, 1)
    assert served(rdiff.file) == rdiff.size
    assert served("v2.ext4.zck") == 0
    assert world.ota("verify", "b").status == 0


def test_where_one_block_of_the_base_is_altered_zchunk_is_taken_from_the_same_package(
    world: World,
    shop: Shop,
    rdiff: Alternative,
    served: Callable[[str], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    package = shop.package(rdiff)
    alter(world.slot_a, 3 << 20)
    done = world.ota("install", package)
    installed(world, done, "zchunk")
    assert "differs from what the rdiff delta was made from" in caplog.text
    assert served(rdiff.file) == 0
    assert served("v2.ext4.zck") > 0


@pytest.mark.build
def test_of_several_bases_the_one_that_is_there_counts(world: World, shop: Shop, rdiff: Alternative) -> None:
    other = world.folder / "v0.img"
    other.write_bytes(world.v1.read_bytes()[: 12 << 20])
    alter(other, 5000)
    third = world.folder / "v1-start.img"
    third.write_bytes(world.v1.read_bytes()[: 14 << 20])
    offered = (shop.rdiff(other, "from-other"), rdiff, shop.rdiff(third, "from-start"))
    done = agree(world, shop.package(*offered), "rdiff")
    assert done.answer["fetched_bytes"] == min(rdiff.size, offered[2].size)


def test_zchunk_is_taken_where_it_costs_less(world: World, shop: Shop) -> None:
    dear = shop.offer("dear", os.urandom(9 << 20), (sha256(world.v1), IMAGE_SIZE))
    agree(world, shop.package(dear), "zchunk")


def test_an_update_that_is_there_already_reads_no_base_and_fetches_nothing(
    world: World,
    shop: Shop,
    rdiff: Alternative,
    served: Callable[[str], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    package = shop.package(rdiff)
    agree(world, package, "rdiff")
    before = served(rdiff.file)
    alter(world.slot_a, 3 << 20)
    again = world.ota("install", package)
    installed(world, again, "zchunk")
    assert (again.answer["fetched_bytes"], again.answer["written_bytes"]) == (0, 0)
    assert "differs" not in caplog.text
    assert served(rdiff.file) == before


def test_a_device_with_nothing_takes_the_full_image(
    world: World, shop: Shop, rdiff: Alternative, served: Callable[[str], int]
) -> None:
    world.slot_a.write_bytes(bytes(world.slot_a.stat().st_size))
    (world.folder / "state/slots/a.zck-header").unlink()
    full = shop.full()
    done = agree(world, shop.package(rdiff, full), "full")
    assert served("v2.zst") == full.size == done.answer["fetched_bytes"]


def test_a_delta_that_is_not_there_is_warned_of_and_zchunk_goes_on(
    world: World,
    shop: Shop,
    rdiff: Alternative,
    served: Callable[[str], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = world.ota("plan", shop.package()).answer["requests"]
    package = shop.package(rdiff)
    published = world.publish / rdiff.file
    published.rename(world.publish / "away")
    try:
        done = world.ota("install", package)
    finally:
        (world.publish / "away").rename(published)
    installed(world, done, "zchunk")
    assert "rdiff failed, zchunk goes on: http-status" in caplog.text
    assert served("v2.ext4.zck") > 0
    assert done.answer["requests"] == requests + 1  # type: ignore[operator]  # JSON


def test_a_delta_that_is_another_file_is_refused_before_a_write_and_zchunk_goes_on(
    world: World, shop: Shop, rdiff: Alternative, caplog: pytest.LogCaptureFixture
) -> None:
    package = shop.package(rdiff)
    published = world.publish / rdiff.file
    right = published.read_bytes()
    published.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    try:
        done = world.ota("install", package)
    finally:
        published.write_bytes(right)
    installed(world, done, "zchunk")
    assert "zchunk goes on: digest-mismatch" in caplog.text
    assert done.answer["patched_bytes"] == 0
    assert done.answer["fetched_bytes"] > rdiff.size  # type: ignore[operator]  # JSON


@pytest.mark.build
@pytest.mark.parametrize("kind", ["wrong result", "not compressed", "window too small"])
def test_a_signed_file_that_gives_another_image_costs_no_update(
    world: World, shop: Shop, rdiff: Alternative, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    base = (sha256(world.v1), IMAGE_SIZE)
    packed = (world.publish / rdiff.file).read_bytes()
    wrong = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(packed))
    wrong[len(wrong) // 2] ^= 1  # among literals: librsync does not notice
    offered = {
        "wrong result": lambda: shop.offer("wrong", bytes(wrong), base),
        "not compressed": lambda: shop.put("plain", b"rs\x026\0", base),
        "window too small": lambda: replace(rdiff, window=1024),
    }[kind]()
    done = world.ota("install", shop.package(offered))
    installed(world, done, "zchunk")
    assert "rdiff failed, zchunk goes on: " in caplog.text
    written = done.answer["written_bytes"]
    assert isinstance(written, int)
    # What had come out right by then was kept: a chunk is written once.
    assert written == IMAGE_SIZE


def part(world: World, one: Alternative) -> int:
    """Bytes of a file that are in the spool."""
    path = world.folder / "state/spool" / f"{one.sha256}.part"
    return path.stat().st_size if path.exists() else 0


def kill_at(world: World, package: Path, one: Alternative, size: int) -> None:
    """Kill an installation when so many bytes are in the spool."""
    process = world.start("install", package, "--max-rate", "300K")
    deadline_s = time.monotonic() + 20
    while part(world, one) < size and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    process.wait()


@pytest.mark.build
def test_a_spool_that_was_cut_goes_on_where_it_was(
    world: World, shop: Shop, rdiff: Alternative, served: Callable[[str], int]
) -> None:
    package = shop.package(rdiff)
    is_untouched = world.untouched()
    kill_at(world, package, rdiff, STEP + STEP // 3)
    assert is_untouched()
    assert STEP < part(world, rdiff) < rdiff.size
    before = served(rdiff.file)
    done = agree(world, package, "rdiff")
    assert served(rdiff.file) - before == done.answer["fetched_bytes"] == rdiff.size - STEP


@pytest.mark.build
def test_what_was_spooled_for_another_release_goes_even_if_that_one_fails(
    world: World, shop: Shop, rdiff: Alternative
) -> None:
    left = world.folder / "state/spool" / f"{rdiff.sha256}.part"
    left.parent.mkdir()
    left.write_bytes(bytes(STEP))
    failed = world.ota("install", world.make_delta_package(world.v2, f"{world.server.url}/missing.zck"))
    assert failed.code == "http-status"
    assert not left.exists()


@pytest.mark.build
def test_without_space_for_the_delta_zchunk_is_taken(
    world: World, shop: Shop, rdiff: Alternative, adopted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The state folder is a file system with less room than the delta and the reserve take."""
    state = world.folder / "state"
    size = 2 * rdiff.size + RESERVE
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", state], check=True)
    try:
        shutil.copytree(adopted, state / "slots")
        assert methods(world.ota("plan", shop.package(rdiff))) == {ENTRY: "rdiff"}
        (state / "filler").write_bytes(bytes(rdiff.size * 3 // 2))
        done = world.ota("install", shop.package(rdiff))
    finally:
        subprocess.run(["umount", state], check=True)
    assert methods(done) == {ENTRY: "zchunk"}
    assert "no rdiff: no space in" in caplog.text


def test_without_memory_for_the_decoder_zchunk_is_taken(
    world: World, shop: Shop, rdiff: Alternative, caplog: pytest.LogCaptureFixture
) -> None:
    needed = footprint.AGENT + footprint.streamed(rdiff.window)
    world.write_config(limits=f'limits.memory = "{needed - 1}"')
    assert methods(world.ota("plan", shop.package(rdiff))) == {ENTRY: "zchunk"}
    assert f"no rdiff: it takes {needed} bytes of memory, and the limit is {needed - 1}" in caplog.text
    world.write_config(limits=f'limits.memory = "{needed}"')
    assert methods(world.ota("plan", shop.package(rdiff))) == {ENTRY: "rdiff"}


@pytest.mark.build
def test_a_budget_holds_also_where_zchunk_has_to_go_on(world: World, shop: Shop, rdiff: Alternative) -> None:
    """Each of the two would be within it."""
    wrong = replace(rdiff, sha256="0" * 64)
    budget = world.ota("plan", shop.package()).answer["fetched_bytes"]
    is_untouched = world.untouched()
    refused = world.ota("install", shop.package(wrong), "--max-download", str(budget))
    assert refused.code == "over-budget"
    assert is_untouched()
    missing = replace(rdiff, file="missing")
    installed(world, world.ota("install", shop.package(missing), "--max-download", str(budget)), "zchunk")


def test_what_is_offered_is_signed(world: World, shop: Shop, rdiff: Alternative) -> None:
    package = shop.package(rdiff)
    data = package.read_bytes()
    changed = data.replace(f"size={rdiff.size}".encode(), f"size={rdiff.size - 1}".encode())
    assert changed != data
    package.write_bytes(changed)
    assert world.ota("install", package).code in ("signature-invalid", "archive-checksum")


def test_what_is_not_understood_is_refused(world: World, shop: Shop, rdiff: Alternative) -> None:
    _, header = world.make_delta(world.v2)
    odd = shop.describe(rdiff).replace("compressed=zstd", "compressed=best")
    assert world.ota("install", world.make_package(odd, header)).code == "description-content"


@pytest.mark.build
def test_an_update_that_was_killed_while_it_patched_goes_on(
    world: World, shop: Shop, rdiff: Alternative, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the slot is written; nothing is fetched again."""
    package = shop.package(rdiff)
    put = Inflow._put

    def cut(self: Inflow, number: int, data: bytes, target: BlockTarget) -> None:
        if self.written > IMAGE_SIZE // 2:
            raise KeyboardInterrupt
        put(self, number, data, target)

    with monkeypatch.context() as patched:
        patched.setattr(Inflow, "_put", cut)
        assert world.ota("install", package).status == 130
    done = agree(world, package, "rdiff")
    assert done.answer["fetched_bytes"] == 0
    assert done.answer["kept_bytes"] >= IMAGE_SIZE // 2 - (2 << 20)  # type: ignore[operator]  # JSON


@pytest.mark.compat
@pytest.mark.parametrize("program", stock.VERSIONS)
def test_stock_installs_the_same_package(world: World, shop: Shop, rdiff: Alternative, program: str) -> None:
    run = stock.install(world, program, shop.package(rdiff, shop.full()), trust=world.certificate)
    assert run.installed, run.log
    assert bool(world.holds(world.slot_b, world.v2))
