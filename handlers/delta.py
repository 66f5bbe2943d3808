"""`delta`: the payload is a zchunk header; what the device does not have of the image is fetched by range.

Properties (swupdate: doc/source/delta-update.rst): `url` of the published .zck; `source`, the device to
copy from; `chain`, which must be "raw". `max-ranges`, `zckloglevel` and the like tune SWUpdate's own
downloader and mean nothing here. Ours, which SWUpdate ignores: `image-size`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ota.device import Device, Place
from ota.errors import UpdateError
from ota.formats import zchunk
from ota.formats.selection import Entry
from ota.formats.zchunk import Header
from ota.interfaces import Cost
from ota.io.http import HttpSource, count_requests
from ota.io.readers import read_full
from ota.io.target import Target, same_file
from ota.job import Job, Payload, plain
from ota.sync import execute, stream
from ota.sync import plan as planning
from ota.sync.index import index
from ota.sync.plan import Action, Plan
from ota.sync.stream import Image


def delta(entry: Entry, payload: Payload, device: Device, version: str) -> Job:
    """Plan from what the target and the other slots hold; see `ota.job.Handler`."""
    url, source = _properties(entry)
    place = device.writable(entry.device)
    header = zchunk.parse_manifest(read_full(plain(entry, payload, device), zchunk.MAX_HEADER))
    described = stream.number(entry, "image-size")
    if described not in (None, header.image_size):
        raise UpdateError(
            "header-format",
            f"{entry.filename}: the chunks do not add up to the image",
            expected=f"{described} bytes",
            found=header.image_size,
        )
    with Target(place.path) as target:
        Image(header.image_size, None).check_fits(target, 0, str(place.path))
        held = list(_held(device, place, target, header))
    seeds = list(_seeds(device, place, source))
    plan = planning.make(header, held, [manifest for _, manifest in seeds])
    web = HttpSource(url, header.file_size, device.network)
    sync = execute.Sync(plan, web, device.progress)
    work = _Work(device, place, [path for path, _ in seeds], web, sync, header, version)
    return Job(_foresee(plan), work.check, work.run)


@dataclass(frozen=True, slots=True)
class _Work:
    """A planned delta. The answer that `check` waited for is the one that `run` goes on reading."""

    device: Device
    place: Place
    seeds: list[Path]
    source: HttpSource
    sync: execute.Sync
    header: Header
    version: str

    def check(self) -> None:
        Target(self.place.path, writable=True).close()
        self.sync.check()

    def run(self) -> Cost:
        slot, manifests = self.place.slot, self.device.manifests
        if slot:
            manifests.begin(slot.name, self.header)
        with ExitStack() as opened:
            target = opened.enter_context(Target(self.place.path, writable=True))
            seeds = [opened.enter_context(Target(path)) for path in self.seeds]
            opened.callback(self.source.close)
            cost = self.sync.run(target, seeds)
        if slot:
            manifests.commit(slot.name, self.header, self.version)
        return replace(cost, fetched_bytes=self.source.received, requests=self.source.requests)


def _properties(entry: Entry) -> tuple[str, str | None]:
    chain = entry.property("chain")
    if chain != "raw":
        raise UpdateError("description-content", f"{entry.filename}: chain", expected="raw", found=chain)
    url = entry.property("url")
    if url is None or not url.startswith(("http://", "https://")):
        raise UpdateError("description-content", f"{entry.filename}: url", expected="http(s)://", found=url)
    if entry.offset:
        raise UpdateError("description-content", f"{entry.filename}: offset beside type delta", expected=0)
    return url, entry.property("source")


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
    """The running slot, and the description's `source` where that is something else."""
    running = device.config.running
    seeds = [Place(device.path(running), running)]
    if source and not same_file(device.find(source).path, seeds[0].path):
        seeds.append(device.find(source))
    for seed in seeds:
        # What is about to be overwritten is no seed, and one that cannot be read is none either.
        if seed.path.exists() and not same_file(seed.path, place.path):
            yield seed.path, _manifest(device, seed)


def _manifest(device: Device, seed: Place) -> Header:
    """The seed's manifest; one that is not known is made by reading the seed once, and kept."""
    if seed.slot and (manifest := device.manifests.get(seed.slot.name)):
        return manifest
    with Target(seed.path) as target:
        manifest, _ = index(target, 0, target.size, device.progress)
    if seed.slot:
        device.manifests.commit(seed.slot.name, manifest, version="")
    return manifest


def _foresee(plan: Plan) -> Cost:
    header = plan.header
    wanted = sorted(planning.downloads(header, plan.numbers(Action.FETCH)))
    ranges = planning.ranges(header, wanted)
    kept = plan.bytes_of(Action.KEEP)
    return Cost(
        fetched_bytes=sum(len(part) for part in ranges),
        requests=count_requests(ranges),
        kept_bytes=kept,
        copied_bytes=plan.bytes_of(Action.COPY),
        zero_bytes=plan.bytes_of(Action.ZERO),
        written_bytes=header.image_size - kept,
        verified_bytes=header.image_size,
    )
