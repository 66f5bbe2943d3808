"""Bring a slot to a manifest: the one operation behind installing, going on after a cut, and repairing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ota.device import Device, Place
from ota.errors import DeviceError
from ota.formats.zchunk import Header
from ota.interfaces import Cost
from ota.io.http import HttpSource
from ota.io.target import Target, same_file
from ota.job import Job, Span
from ota.sync import execute, footprint, survey
from ota.sync import plan as planning
from ota.sync.index import index
from ota.sync.plan import Action, Plan
from ota.sync.seeds import Seeds
from ota.sync.stream import Image

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Content:
    """What a slot is to hold."""

    header: Header
    version: str  # of the software, for the record
    url: str  # of the published .zck


def job(device: Device, place: Place, content: Content, source: str | None = None) -> Job:
    """Plan from what the target and the seeds hold.

    Args:
        place: a target that may be written.
        source: a device that a package names to copy from; the other slots are seeds in any case.

    Raises:
        DeviceError: "slot-size", "slot-unreadable".
    """
    return planned(device, place, content, look(device, place, content.header), source)


def repair(device: Device, place: Place, content: Content, bad: Iterable[int]) -> Job:
    """Plan to mend the chunks `bad` of a slot that holds all others of its manifest."""
    damaged = set(bad)
    held = (chunk for number, chunk in enumerate(planning.held_by(content.header)) if number not in damaged)
    return planned(device, place, content, Held(planning.Held(held)), None)


@dataclass(frozen=True, slots=True)
class Held:
    """What the target holds already."""

    chunks: planning.Held
    before: Header | None = None  # the same as a manifest, where the slot's own says something else
    is_blank: bool = False  # nothing, and so nothing that need not be written


def look(device: Device, place: Place, header: Header) -> Held:
    """What a target holds, if the image fits it.

    Raises:
        DeviceError: "slot-size", "slot-unreadable".
    """
    with Target(place.path) as target:
        Image(header.image_size, None).check_fits(target, 0, str(place.path))
        return _held(device, place, target, header)


def planned(device: Device, place: Place, content: Content, held: Held, source: str | None) -> Job:
    """As `job`, where the target was looked at."""
    is_whole = held.chunks.is_whole(content.header)
    seeds = [] if is_whole else list(_seeds(device, place, source))
    plan = planning.make(content.header, held.chunks, [manifest for _, manifest in seeds])
    web = device.source(content.url, content.header.file_size) if content.url else None
    sync = execute.Sync(plan, web, device.progress)
    work = _Work(device, place, content, held, [path for path, _ in seeds], web, sync)
    return Job(
        _foresee(plan, web),
        work.check,
        work.run,
        close=work.close,
        memory=footprint.planned(plan),
        writes=(Span(place.path, 0, content.header.image_size),),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """A plan to be carried out. The answer that `check` waited for is the one that `run` goes on reading."""

    device: Device
    place: Place
    content: Content
    held: Held
    seeds: list[Path]
    web: HttpSource | None
    sync: execute.Sync

    def check(self) -> None:
        Target(self.place.path, writable=True).close()
        self.sync.check()

    def run(self) -> Cost:
        slot, manifests, content = self.place.slot, self.device.manifests, self.content
        if slot:
            manifests.begin(slot.name, content.header, self.held.before)
        with ExitStack() as opened:
            target = Target(self.place.path, writable=True, compare=not self.held.is_blank)
            opened.enter_context(target)
            seeds = [_open_seed(path, opened) for path in self.seeds]
            cost = self.sync.run(target, seeds)
        if slot:
            manifests.commit(slot.name, content.header, content.version, content.url)
        if self.web is None:
            return cost
        return replace(cost, fetched_bytes=self.web.received, requests=self.web.requests)

    def close(self) -> None:
        if self.web:
            self.web.close()


def _held(device: Device, place: Place, target: Target, header: Header) -> Held:
    """By the slot's manifest, or, where there is none that can be relied on, by a look at it."""
    if place.slot is None:
        return Held(planning.Held([]))
    if remains := device.manifests.remains(place.slot.name):
        found = survey.prove(remains, target, device.progress)
        # The same update goes on: what the slot holds is told by what is stored as it is.
        before = None if remains[0].data == header.data else survey.tiling(found)
        chunks = planning.Held((piece.offset, piece.digest) for piece in found)
        return Held(chunks, before)
    manifest = device.manifests.get(place.slot.name) or _learn(device, place.slot.name, target)
    if manifest is None:
        return Held(planning.Held([]), is_blank=True)
    return Held(planning.Held(planning.held_by(manifest)))


def _seeds(device: Device, place: Place, source: str | None) -> Iterator[tuple[Path, Header]]:
    """All that can be copied from, the preferred first. What cannot be read is no seed."""
    known = Seeds(device.config.state_dir, device.progress)
    seen = [place.path, *device.targets]  # what is about to be overwritten is no seed
    for seed in _candidates(device, source):
        readable = seed.path.is_file() or seed.path.is_block_device()
        if not readable or any(same_file(seed.path, path) for path in seen):
            continue
        seen.append(seed.path)
        try:
            manifest = _manifest(device, seed, known)
        except DeviceError as error:
            _log.warning("not copied from: %s", error)
            continue
        if manifest:
            yield seed.path, manifest


def _candidates(device: Device, source: str | None) -> Iterator[Place]:
    running = device.config.running
    yield Place(device.path(running), running)
    if source:
        yield device.find(source)
    for slot in device.board.slots:
        yield Place(device.path(slot), slot)
    for path in device.config.seeds:
        yield device.find(str(path))


def _manifest(device: Device, seed: Place, known: Seeds) -> Header | None:
    """What a seed holds; None if nothing."""
    if seed.slot is None:
        return known.manifest(seed.path)
    if manifest := device.manifests.get(seed.slot.name):
        return manifest
    with Target(seed.path) as slot:
        if remains := device.manifests.remains(seed.slot.name):
            return survey.tiling(survey.prove(remains, slot, device.progress))
        return _learn(device, seed.slot.name, slot)


def _learn(device: Device, slot: str, target: Target) -> Header | None:
    """Read a slot of which nothing is known once, and keep what was found; None where it is blank."""
    if survey.is_blank(target):
        return None
    manifest, _ = index(target, 0, target.size, device.progress)
    device.manifests.learn(slot, manifest)
    return manifest


def _open_seed(path: Path, opened: ExitStack) -> Target | None:
    try:
        return opened.enter_context(Target(path))
    except DeviceError as error:
        _log.warning("no longer there to copy from: %s", error)
        return None


def _foresee(plan: Plan, web: HttpSource | None) -> Cost:
    header = plan.header
    ranges = planning.ranges(header, plan.numbers(Action.FETCH))
    fetched, requests = web.foresee(ranges) if web else (0, 0)
    kept = plan.bytes_of(Action.KEEP)
    return Cost(
        fetched_bytes=fetched,
        requests=requests,
        kept_bytes=kept,
        copied_bytes=plan.bytes_of(Action.COPY),
        zero_bytes=plan.bytes_of(Action.ZERO),
        written_bytes=header.image_size - kept,
        verified_bytes=header.image_size,
    )
