"""The power goes at any durable or undurable step of an update, and of the next one; it goes on where it was.

All bounds are scaled down, so that small images reach them. When the power goes, of what was written since
the last flush some is on the medium, some is not, some in part.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ota import slotsync
from ota.board import Board, Slot
from ota.config import Config
from ota.device import Device
from ota.errors import DeviceError
from ota.interfaces import Cost
from ota.io import durable
from ota.io.http import HttpSource
from ota.io.network import Network
from ota.slotsync import Content
from ota.sync import execute, manifests
from ota.sync import plan as planning
from ota.sync.manifests import Manifests
from ota.tests.media import Memory, Published, file_of, header_of
from ota.trust.signature import Trust

BOUND = 24 << 10  # bytes: of what is saved, of what is not durable, of what is asked for ahead
LARGEST = 4000  # bytes of a chunk
SLOT_SIZE = 600_000  # bytes
AT_STAKE = 3 * BOUND + LARGEST  # what one cut may cost

NOISE = [random.Random(n).randbytes(1000 + n * 7 % (LARGEST - 1000)) for n in range(400)]
OLD = NOISE[:200]
TWO = NOISE[200:240] + OLD[30:120] + NOISE[240:260] + OLD[:20] + [bytes(50)] * 9 + OLD[130:]
THREE = NOISE[200:225] + NOISE[260:280] + TWO[25:100] + TWO[130:]
SHIFTED = [*[bytes(50)] * 5, *OLD]


class PowerCutError(BaseException):
    """Nothing may catch it, as nothing catches a power cut."""


@dataclass
class Power:
    """Lets so many steps pass."""

    left: int
    chance: random.Random

    def step(self) -> None:
        if not self.left:
            raise PowerCutError
        self.left -= 1


class Slow(Memory):
    """A file, in memory while it is open; on a power cut some of what was not flushed is lost."""

    def __init__(self, path: Path, power: Power, writable: bool) -> None:
        if not path.exists():
            raise DeviceError("slot-unreadable", f"{path} is gone")
        super().__init__(bytearray(path.read_bytes()))
        self._durable = bytes(self.data)
        self._path, self._power, self._writable = path, power, writable

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._writable:
            self._path.write_bytes(self.data)

    def write_at(self, offset: int, data: bytes) -> None:
        self._step()
        super().write_at(offset, data)

    def flush(self) -> None:
        self._step()
        super().flush()
        self._durable = bytes(self.data)

    def _step(self) -> None:
        try:
            self._power.step()
        except PowerCutError:
            self.data[:] = self._durable
            for offset, data in self.unsynced:
                part = self._power.chance.choice((0, 1, 1, self._power.chance.random()))
                written = data[: int(len(data) * part)]
                self.data[offset : offset + len(written)] = written
            raise


class Devised(Device):
    """A device whose server is in memory."""

    def source(self, url: str, size: int) -> HttpSource:
        published = SERVED[url]
        assert len(published.file) == size
        return published  # type: ignore[return-value]  # what is used of an HttpSource


SERVED: dict[str, Published] = {}


@dataclass
class Bench:
    """A device with slot `a`, which runs and is empty, and slot `b`, which holds OLD."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    seeds: tuple[Path, ...] = ()
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    received: int = 0  # bytes

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._switch_on(Power(1 << 30, self.chance))
        self.slot("a").write_bytes(bytes(5000))
        self.slot("b").write_bytes(b"".join(OLD).ljust(SLOT_SIZE, b"\xff"))
        Manifests(self.folder).commit("b", header_of(OLD), "1", "")
        for name in ("MAX_SAVED", "BLOCK", "MAX_EARLY"):
            self.monkeypatch.setattr(planning, name, BOUND)
        self.monkeypatch.setattr(execute, "MAX_UNSYNCED", BOUND)

    def slot(self, name: str) -> Path:
        return self.folder / name

    @property
    def device(self) -> Device:
        slots = tuple(Slot(name, f"/dev/{name}", f"copy-{name}", {}) for name in "ab")
        board = Board("bench", ("1",), "stable", slots)
        paths = {slot.name: self.slot(slot.name) for slot in slots}
        config = Config(
            board, paths, "1", self.folder, slots[0], "file", self.folder / "env", (), Trust((), ()),
            Network(), 1 << 20, self.seeds,
        )  # fmt: skip
        return Devised(config, Manifests(self.folder), lambda event: None)

    def install(self, chunks: Sequence[bytes], steps: int = 1 << 30) -> tuple[Cost, Cost | None]:
        """Plan, then run until the power goes; returns what was foreseen, and what it took if it was done."""
        self._switch_on(Power(steps, self.chance))
        published = Published(file_of(chunks), piece=500, ahead=BOUND, chance=self.chance)
        SERVED["x"] = published
        device = self.device
        job = slotsync.job(device, device.find("/dev/b"), Content(header_of(chunks), "2", "x"))
        try:
            job.check()
            return job.cost, job.run()
        except PowerCutError:
            return job.cost, None
        finally:
            self.received += published.received

    def holds(self, chunks: Sequence[bytes]) -> bool:
        image = b"".join(chunks)
        assert self.device.manifests.get("b")
        return self.slot("b").read_bytes()[: len(image)] == image

    def _switch_on(self, power: Power) -> None:
        def stepped(step: Callable[..., None]) -> Callable[..., None]:
            def run(*arguments: object) -> None:
                power.step()
                step(*arguments)

            return run

        self.monkeypatch.setattr(
            slotsync, "Target", lambda path, writable=False, compare=True: Slow(path, power, writable)
        )
        self.monkeypatch.setattr(manifests, "replace", stepped(durable.replace))
        self.monkeypatch.setattr(manifests, "remove", stepped(durable.remove))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Bench]]:
    count = iter(range(1000))
    yield lambda: Bench(tmp_path / str(next(count)), monkeypatch)


def new_bytes(chunks: Sequence[bytes], *known: Sequence[bytes]) -> int:
    """Of chunks that are in none of these images, each once."""
    return sum(map(len, set(chunks).difference(*map(set, known), [bytes(50)])))


@pytest.mark.parametrize("image", [TWO, SHIFTED], ids=["changed", "shifted"])
def test_foreseen_is_what_it_takes(bench: Callable[[], Bench], image: list[bytes]) -> None:
    slot = bench()
    foreseen, taken = slot.install(image)
    assert foreseen == taken
    assert slot.holds(image)


def test_a_shift_costs_nothing(bench: Callable[[], Bench]) -> None:
    slot = bench()
    slot.install(SHIFTED)
    assert slot.received == 0


@pytest.mark.parametrize("image", [TWO, SHIFTED], ids=["changed", "shifted"])
def test_a_cut_at_any_step_costs_no_more_than_what_was_at_stake(
    bench: Callable[[], Bench], image: list[bytes]
) -> None:
    planned = bench().install(image)[0].fetched_bytes
    for steps in range(0, 300, 13):
        slot = bench()
        done = slot.install(image, steps)[1]
        if done is None:
            assert slot.install(image)[1]
        assert slot.holds(image)
        assert slot.received <= planned + AT_STAKE, steps


@pytest.mark.parametrize("image", [TWO, SHIFTED], ids=["changed", "shifted"])
@pytest.mark.parametrize("seed", range(4))
def test_cuts_one_after_the_other(bench: Callable[[], Bench], image: list[bytes], seed: int) -> None:
    planned = bench().install(image)[0].fetched_bytes
    slot = bench()
    slot.chance = random.Random(seed)
    cuts = 0
    while slot.install(image, slot.chance.randrange(5, 60))[1] is None:
        cuts += 1
    assert cuts
    assert slot.holds(image)
    assert slot.received <= planned + cuts * AT_STAKE


def test_a_newer_release_replaces_a_half_done_one_and_nothing_is_fetched_twice(
    bench: Callable[[], Bench],
) -> None:
    slot = bench()
    planned = sum(slot.install(image)[0].fetched_bytes for image in (TWO, THREE))
    for steps in range(2, 200, 28):
        for more in (0, 1, 2, 10, 60):
            slot = bench()
            cuts = 0
            for image, left in ((TWO, steps), (THREE, more), (THREE, more + 5)):
                cuts += slot.install(image, left)[1] is None
            foreseen, taken = slot.install(THREE)
            assert foreseen == taken
            assert slot.holds(THREE)
            assert slot.received <= planned + cuts * AT_STAKE, (steps, more)


@pytest.mark.parametrize("seed", range(6))
def test_releases_replace_each_other_half_done_again_and_again(bench: Callable[[], Bench], seed: int) -> None:
    """To and fro between two images that share nothing with OLD but what both of them keep."""
    slot = bench()
    slot.chance = random.Random(seed)
    one = NOISE[300:340] + OLD[40:]
    two = NOISE[340:345] + one[5:]
    cuts = 0
    for image in [one, two] * 5:
        cuts += slot.install(image, slot.chance.randrange(1, 40))[1] is None
    while slot.install(two, 100)[1] is None:
        cuts += 1
    assert slot.holds(two)
    # The five chunks in which they differ may come each time; all others once.
    differing = 10 * (new_bytes(one, two) + new_bytes(two, one))
    assert slot.received <= new_bytes(one, OLD) + differing + (cuts + 1) * AT_STAKE


def test_what_was_read_before_the_cut_is_not_believed_afterwards(bench: Callable[[], Bench]) -> None:
    """Between two attempts somebody writes into the half-written slot: it ends right all the same."""
    slot = bench()
    slot.install(TWO, 60)
    data = bytearray(slot.slot("b").read_bytes())
    data[10_000:200_000:5000] = bytes(len(data[10_000:200_000:5000]))
    slot.slot("b").write_bytes(data)
    assert slot.install(TWO)[1]
    assert slot.holds(TWO)


def forget_all(slot: Bench) -> None:
    for path in (slot.folder / "slots").iterdir():
        path.unlink()


def test_an_unknown_slot_is_read_once_and_used(bench: Callable[[], Bench]) -> None:
    slot = bench()
    forget_all(slot)
    slot.install(TWO, 2)
    assert slot.device.manifests.get("b")
    assert not slot.device.manifests.get("a")  # blank


@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_a_blank_slot_is_not_read(bench: Callable[[], Bench], value: int) -> None:
    slot = bench()
    forget_all(slot)
    slot.slot("b").write_bytes(bytes([value]) * SLOT_SIZE)
    slot.install(TWO, 0)
    assert not slot.device.manifests.get("b")


def test_files_of_the_configuration_are_seeds_where_they_are_there(bench: Callable[[], Bench]) -> None:
    slot = bench()
    usb = slot.folder / "usb"
    # One chunk each to our chunker, as to the manifest.
    pieces = [random.Random(n).randbytes(5000) for n in range(3)]
    usb.write_bytes(pieces[0])
    slot.seeds = (slot.folder / "none", slot.folder, usb, slot.slot("b"))
    foreseen, taken = slot.install(pieces)
    assert foreseen == taken
    assert taken
    assert (taken.fetched_bytes, taken.copied_bytes) == (10_000, 5000)


def test_a_seed_that_changed_is_cut_anew(bench: Callable[[], Bench]) -> None:
    slot = bench()
    usb = slot.folder / "usb"
    slot.seeds = (usb,)
    pieces = [random.Random(n).randbytes(5000) for n in range(2)]
    usb.write_bytes(b"old" * 99)
    slot.install(pieces, 0)
    usb.write_bytes(pieces[1])
    foreseen, taken = slot.install(pieces)
    assert foreseen == taken
    assert taken
    assert taken.copied_bytes == 5000


def test_a_seed_that_is_gone_after_the_plan_is_fetched(bench: Callable[[], Bench]) -> None:
    slot = bench()
    usb = slot.folder / "usb"
    slot.seeds = (usb,)
    piece = random.Random(1).randbytes(5000)
    usb.write_bytes(piece)
    SERVED["x"] = Published(file_of([piece]))
    device = slot.device
    job = slotsync.job(device, device.find("/dev/b"), Content(header_of([piece]), "2", "x"))
    assert job.cost.fetched_bytes == 0
    usb.unlink()
    job.check()
    assert job.run().fetched_bytes == 5000
    assert slot.holds([piece])
