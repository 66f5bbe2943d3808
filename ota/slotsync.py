"""Bring a slot to a manifest: the one operation behind installing, going on after a cut, and repairing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ota.device import Device, Place
from ota.formats.zchunk import Header
from ota.interfaces import Cost
from ota.io.http import HttpSource
from ota.io.target import Target, same_file
from ota.job import Job
from ota.sync import execute
from ota.sync import plan as planning
from ota.sync.index import index
from ota.sync.plan import Action, Plan
from ota.sync.stream import Image


@dataclass(frozen=True, slots=True)
class Content:
    """What a slot is to hold."""

    header: Header
    version: str  # of the software, for the record
    url: str  # of the published .zck


def job(device: Device, place: Place, content: Content, source: str | None = None) -> Job:
    """Plan from what the target and the other slots hold.

    Args:
        place: a target that may be written.
        source: a device that a package names to copy from; the running slot is a seed in any case.

    Raises:
        DeviceError: "slot-size", "slot-unreadable".
    """
    header = content.header
    with Target(place.path) as target:
        Image(header.image_size, None).check_fits(target, 0, str(place.path))
        held = list(_held(device, place, target, header))
    return _planned(device, place, content, held, list(_seeds(device, place, source)))


def repair(device: Device, place: Place, content: Content, bad: Iterable[int]) -> Job:
    """Plan to mend the chunks `bad` of a slot that holds all others of its manifest."""
    header, damaged = content.header, set(bad)
    held = [chunk for number, chunk in enumerate(planning.held_by(header)) if number not in damaged]
    return _planned(device, place, content, held, list(_seeds(device, place, None)))


def _planned(
    device: Device,
    place: Place,
    content: Content,
    held: list[tuple[int, bytes]],
    seeds: list[tuple[Path, Header]],
) -> Job:
    plan = planning.make(content.header, held, [manifest for _, manifest in seeds])
    web = device.source(content.url, content.header.file_size) if content.url else None
    sync = execute.Sync(plan, web, device.progress)
    work = _Work(device, place, content, [path for path, _ in seeds], web, sync)
    return Job(_foresee(plan, web), work.check, work.run, work.close)


@dataclass(frozen=True, slots=True)
class _Work:
    """A plan to be carried out. The answer that `check` waited for is the one that `run` goes on reading."""

    device: Device
    place: Place
    content: Content
    seeds: list[Path]
    web: HttpSource | None
    sync: execute.Sync

    def check(self) -> None:
        Target(self.place.path, writable=True).close()
        self.sync.check()

    def run(self) -> Cost:
        slot, manifests, content = self.place.slot, self.device.manifests, self.content
        if slot:
            manifests.begin(slot.name, content.header)
        with ExitStack() as opened:
            target = opened.enter_context(Target(self.place.path, writable=True))
            seeds = [opened.enter_context(Target(path)) for path in self.seeds]
            cost = self.sync.run(target, seeds)
        if slot:
            manifests.commit(slot.name, content.header, content.version, content.url)
        if self.web is None:
            return cost
        return replace(cost, fetched_bytes=self.web.received, requests=self.web.requests)

    def close(self) -> None:
        if self.web:
            self.web.close()


def _held(device: Device, place: Place, target: Target, header: Header) -> Iterator[tuple[int, bytes]]:
    """What the target holds already: by its manifest, or, where an update stopped half way, by a look."""
    if place.slot and (manifest := device.manifests.get(place.slot.name)):
        yield from planning.held_by(manifest)
    elif place.slot and device.manifests.pending(place.slot.name):
        bad = set(execute.damaged(header, target, device.progress))
        for number, chunk in enumerate(planning.held_by(header)):
            if number not in bad:
                yield chunk


def _seeds(device: Device, place: Place, source: str | None) -> Iterator[tuple[Path, Header]]:
    """The running slot, and the package's `source` where that is something else."""
    running = device.config.running
    seeds = [Place(device.path(running), running)]
    if source and not same_file(device.find(source).path, seeds[0].path):
        seeds.append(device.find(source))
    for seed in seeds:
        # What is about to be overwritten is no seed, and one that is not there is none either.
        if seed.path.exists() and not same_file(seed.path, place.path):
            yield seed.path, _manifest(device, seed)


def _manifest(device: Device, seed: Place) -> Header:
    """The seed's manifest; one that is not known is made by reading the seed once, and kept."""
    if seed.slot and (manifest := device.manifests.get(seed.slot.name)):
        return manifest
    with Target(seed.path) as target:
        manifest, _ = index(target, 0, target.size, device.progress)
    if seed.slot:
        device.manifests.commit(seed.slot.name, manifest, version="", url="")
    return manifest


def _foresee(plan: Plan, web: HttpSource | None) -> Cost:
    header = plan.header
    wanted = sorted(planning.downloads(header, plan.numbers(Action.FETCH)))
    ranges = planning.ranges(header, wanted)
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
