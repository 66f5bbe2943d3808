"""A disk whose power goes at a chosen moment: an image that is never written, and what was written over it.

Two kinds, never mixed, and a third that is broken:

    Emmc        no cache. What was acknowledged stays; the command under way ends between two sectors.
    CachedDisk  a volatile cache. What was flushed stays. Of what was not, nothing is left, or a beginning, or
                any part of it, whatever the order in which it was written.
    LyingDisk   a CachedDisk that acknowledges flushes and does nothing: the negative control.

QEMU's eMMC announces no cache and never sends a flush (EXT_CSD revision 4.41, no CACHE_SIZE), so a
CachedDisk below it would lose what Linux had every right to rely on. virtio-blk announces one, and flushes.
"""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from nbd import GoneError

from ota.interfaces import Range

SECTOR: Final = 512  # bytes
_PAGE: Final = 4096  # bytes; what is copied when some of it is written


class Event(StrEnum):
    """What a disk is told to do."""

    READ = "read"
    WRITE = "write"
    FLUSH = "flush"


class Entry(NamedTuple):
    """One command, as it came."""

    event: Event
    offset: int = 0  # bytes
    length: int = 0  # bytes
    fua: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """The power goes instead of the `count`-th of these events after it was armed.

    Args:
        count: from 1 on: sectors written, or flushes.
        event: WRITE or FLUSH.
        within: bytes of the disk; writes elsewhere do not count.
        torn: half of that sector is written all the same. For what claims to bear it: U-Boot's environment,
            whose copies have a checksum, and a slot, which is proved before it is used. grubenv and
            file systems rely on whole sectors, as disks promise them.
        after: what has to happen before the count begins; the power stays on at that moment.
    """

    count: int
    event: Event = Event.WRITE
    within: Range | None = None
    torn: bool = False
    after: Cut | None = None


class Content:
    """The bytes on a medium: an image, which others may share, and pages in memory over it."""

    def __init__(self, base: Path) -> None:
        self._path = base
        self.size = base.stat().st_size
        with base.open("rb") as file:
            self._base = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._pages: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> bytes:
        stop = offset + length
        first, last = offset // _PAGE, -(-stop // _PAGE)
        if any(page in self._pages for page in range(first, last)):
            data = b"".join(map(self._page, range(first, last)))
            return data[offset - first * _PAGE : stop - first * _PAGE]
        return self._base[offset:stop]

    def write(self, offset: int, data: bytes) -> None:
        first, last = offset // _PAGE, -(-(offset + len(data)) // _PAGE)
        before = self.read(first * _PAGE, offset - first * _PAGE)
        after = self.read(offset + len(data), last * _PAGE - offset - len(data))
        whole = before + data + after
        for page in range(first, last):
            start = (page - first) * _PAGE
            self._pages[page] = whole[start : start + _PAGE]

    def copy(self) -> Content:
        """Takes milliseconds: pages are shared until either is written."""
        other = Content(self._path)
        other._pages = dict(self._pages)
        return other

    def save(self, path: Path) -> None:
        """As an image of its own, with the holes of the base."""
        subprocess.run(["cp", "--sparse=always", self._path, path], check=True)
        with path.open("r+b") as file:
            for page, data in self._pages.items():
                os.pwrite(file.fileno(), data, page * _PAGE)

    def _page(self, page: int) -> bytes:
        own = self._pages.get(page)
        return self._base[page * _PAGE : (page + 1) * _PAGE] if own is None else own


class Model(Protocol):
    """What a kind of disk does with what it is sent."""

    @property
    def has_cache(self) -> bool:
        """Whether it announces one."""

    def write(self, content: Content, offset: int, data: bytes, *, fua: bool) -> None: ...

    def flush(self) -> None: ...

    def lose(self, content: Content) -> int:
        """The power goes; returns how many bytes that were acknowledged are lost."""


class Emmc:
    """A `Model` without cache: every acknowledged sector is there."""

    has_cache: Final = False

    def write(self, content: Content, offset: int, data: bytes, *, fua: bool) -> None:
        content.write(offset, data)

    def flush(self) -> None:
        raise AssertionError("a disk without cache is sent no flush")

    def lose(self, content: Content) -> int:
        return 0


class Fate(StrEnum):
    """What becomes of the content of a volatile cache."""

    DROPPED = "dropped"
    TORN = "torn"  # it came to the medium in order, up to some sector
    REORDERED = "reordered"  # commands came to the medium in any order, one of them in part


class _Cached(NamedTuple):
    offset: int
    before: bytes
    data: bytes
    fua: bool


class CachedDisk:
    """A `Model` with a volatile cache.

    Args:
        seed: of all that happens by chance.
        fate: of what was not flushed; None: by chance.
    """

    has_cache: Final = True

    def __init__(self, seed: int, fate: Fate | None = None) -> None:
        self._chance = random.Random(seed)
        self.fate = fate or self._chance.choice(list(Fate))
        self._cache: list[_Cached] = []

    def write(self, content: Content, offset: int, data: bytes, *, fua: bool) -> None:
        self._cache.append(_Cached(offset, content.read(offset, len(data)), data, fua))
        content.write(offset, data)

    def flush(self) -> None:
        self._cache.clear()

    def lose(self, content: Content) -> int:
        for cached in reversed(self._cache):
            content.write(cached.offset, cached.before)
        kept = [len(cached.data) if cached.fua else 0 for cached in self._cache]
        for number, length in enumerate(self._kept()):
            kept[number] = max(kept[number], length)
        for cached, length in zip(self._cache, kept, strict=True):
            content.write(cached.offset, cached.data[:length])
        lost = sum(len(cached.data) for cached in self._cache) - sum(kept)
        self._cache.clear()
        return lost

    def _kept(self) -> list[int]:
        """How many bytes of each command are left."""
        lengths = [len(cached.data) for cached in self._cache]
        if not lengths or self.fate is Fate.DROPPED:
            return [0] * len(lengths)
        torn = self._chance.randrange(len(lengths))
        part = self._chance.randrange(0, lengths[torn] + 1, SECTOR)
        if self.fate is Fate.TORN:
            return [*lengths[:torn], part, *[0] * (len(lengths) - torn - 1)]
        kept = [length * self._chance.randrange(2) for length in lengths]
        kept[torn] = part
        return kept


class LyingDisk:
    """A `Model` that says it has flushed, and has not."""

    has_cache: Final = True

    def __init__(self, seed: int, fate: Fate | None = None) -> None:
        self._disk = CachedDisk(seed, fate)
        self.write = self._disk.write
        self.lose = self._disk.lose

    def flush(self) -> None:
        pass


class Disk:
    """Content under a model, as `nbd.serving` serves it.

    Attributes:
        counts: sectors read and written, flushes, since the power is on; "fua" of the writes.
        log: all commands but reads since then.
        lost: bytes that were acknowledged and not there after the last cut.
        on_cut: called when the power goes, to stop the machine.
    """

    block: Final = SECTOR

    def __init__(self, content: Content, model: Model) -> None:
        self.content = content
        self.model = model
        self.size = content.size
        self.has_cache = model.has_cache
        self.on_cut: Callable[[], None] = lambda: None
        self.lost = 0
        self._lock = threading.Lock()
        self._was_cut = threading.Event()
        self.power_on()

    def power_on(self) -> None:
        self.counts: Counter[str] = Counter()
        self.log: list[Entry] = []
        self._stages: list[Cut] = []  # the first of them is being counted
        self._left = 0
        self._was_cut.clear()
        self.is_on = True

    def power_off(self) -> None:
        """The power goes now."""
        with self._lock:
            if self.is_on:
                self._lose()

    def arm(self, cut: Cut | None) -> None:
        """From now on this cut is awaited, and no other."""
        with self._lock:
            self._stages = list(_stages(cut))
            self._left = self._stages[0].count if self._stages else 0

    def wait_for_cut(self, timeout: float) -> bool:
        """Seconds; whether the power went."""
        return self._was_cut.wait(timeout)

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._prove_on()
            self.counts[Event.READ] += length // SECTOR
            return self.content.read(offset, length)

    def write(self, offset: int, data: bytes, *, fua: bool) -> None:
        with self._lock:
            self._prove_on()
            self.log.append(Entry(Event.WRITE, offset, len(data), fua))
            self.counts["fua"] += fua
            done = self._before_cut(offset, len(data))
            self.counts[Event.WRITE] += done // SECTOR
            if done == len(data):
                return self.model.write(self.content, offset, data, fua=fua)
            self.model.write(self.content, offset, data[:done], fua=False)
            if self._stages[0].torn:
                half = data[done : done + SECTOR // 2]
                rest = self.content.read(offset + done + len(half), SECTOR - len(half))
                self.model.write(self.content, offset + done, half + rest, fua=False)
            self._lose()
            raise GoneError

    def flush(self) -> None:
        with self._lock:
            self._prove_on()
            self.log.append(Entry(Event.FLUSH))
            if self._stages and self._stages[0].event is Event.FLUSH and self._is_reached(1):
                self._lose()
                raise GoneError
            self.counts[Event.FLUSH] += 1
            self.model.flush()

    def _prove_on(self) -> None:
        if not self.is_on:
            raise GoneError

    def _before_cut(self, offset: int, length: int) -> int:
        """How many bytes of a write come through."""
        if not self._stages or self._stages[0].event is not Event.WRITE:
            return length
        within, left = self._stages[0].within or Range(0, self.size), self._left
        start, stop = max(offset, within.start), min(offset + length, within.stop)
        if self._is_reached(max(0, stop - start) // SECTOR):
            return start - offset + (left - 1) * SECTOR
        return length

    def _is_reached(self, count: int) -> bool:
        """Whether the power goes at one of so many events more."""
        self._left -= count
        if self._left > 0:
            return False
        if len(self._stages) == 1:
            return True
        self._stages.pop(0)
        self._left = self._stages[0].count
        return False

    def _lose(self) -> None:
        self.is_on = False
        self.lost = self.model.lose(self.content)
        self.on_cut()
        self._was_cut.set()


def _stages(cut: Cut | None) -> Iterator[Cut]:
    if cut:
        yield from _stages(cut.after)
        yield cut
