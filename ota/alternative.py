"""A slot is brought to its manifest by an alternative to zchunk; where that fails, zchunk goes on.

Before anything is written, an rdiff delta is fetched as a whole and proved; of a full image the server has
begun to answer. What either makes is proved chunk by chunk, so whatever goes wrong leaves the slot as an
interrupted update does: zchunk is planned anew from what is there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ota import choice, slotsync
from ota.device import Device, Place
from ota.errors import OtaError, UpdateError
from ota.formats import alternatives
from ota.formats.alternatives import Alternative, Method
from ota.interfaces import Cost, Range
from ota.io import http, spool
from ota.io.readers import Decompress, blocks
from ota.io.target import Target
from ota.job import Job, Span
from ota.native import rsync
from ota.slotsync import Content, Held
from ota.sync import footprint, inflow
from ota.sync import plan as planning
from ota.sync.plan import Action

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a package says of one image."""

    label: str  # of its entry, for people
    filename: str
    content: Content
    source: str | None  # a device to copy from
    alternatives: tuple[Alternative, ...]
    spools: frozenset[str]  # sha256 of all files that the package may spool


def job(offer: Offer, device: Device, place: Place) -> Job:
    """Plan zchunk, and take an alternative where that is cheaper.

    Raises:
        DeviceError: "slot-size", "slot-unreadable".
    """
    held = slotsync.look(device, place, offer.content.header)
    zchunk = slotsync.planned(device, place, offer.content, held, offer.source)
    chosen = choice.choose(offer.label, offer.alternatives, zchunk.cost.fetched_bytes, device)
    if chosen is None:
        return _tidy(offer, device, replace(zchunk, methods={offer.filename: Method.ZCHUNK}))
    zchunk.close()
    work = _Work(offer, device, place, held, chosen)
    return _tidy(
        offer,
        device,
        Job(
            work.foreseen(),
            work.check,
            work.run,
            close=work.close,
            memory=footprint.streamed(chosen.window),
            writes=(Span(place.path, 0, offer.content.header.image_size),),
            methods=work.methods,
        ),
    )


def _tidy(offer: Offer, device: Device, job: Job) -> Job:
    """What other releases left in the spool goes before, what this one had there goes afterwards."""
    state_dir = device.config.state_dir

    def check() -> None:
        spool.clean(state_dir, offer.spools)
        job.check()

    def run() -> Cost:
        cost = job.run()
        own = {one.sha256 for one in offer.alternatives}
        spool.clean(state_dir, offer.spools - own)
        return cost

    return replace(job, check=check, run=run)


class _Work:
    """The alternative, or the zchunk job that took its place.

    Attributes:
        methods: what is done at the moment, by file name.
    """

    def __init__(self, offer: Offer, device: Device, place: Place, held: Held, chosen: Alternative) -> None:
        self._offer = offer
        self._device = device
        self._place = place
        self._held = held
        self._chosen = chosen
        url = alternatives.url(offer.content.url, chosen)
        self._web = device.source_of_all(url, chosen.size)
        self._stream = http.stream(self._web, chosen.size)
        self._spool = choice.spool(chosen, device.config.state_dir)
        self._plan = planning.make(offer.content.header, held.chunks, [])
        self._inflow = inflow.Inflow(self._plan, device.progress)
        self._instead: Job | None = None
        self.methods = {offer.filename: chosen.method}

    def foreseen(self) -> Cost:
        """What it will take."""
        start = self._spool.held if self._chosen.method is Method.RDIFF else 0
        missing = [Range(start, self._chosen.size)] if start < self._chosen.size else []
        fetched, requests = self._web.foresee(missing)
        size = self._plan.header.image_size
        return self._cost(fetched, requests, size - self._plan.bytes_of(Action.KEEP), size)

    def check(self) -> None:
        """All that can be known of the file before something is written."""
        Target(self._place.path, writable=True).close()
        try:
            if self._chosen.method is Method.RDIFF:
                self._spool.fetch(self._web, self._device.progress)
            else:
                self._stream.begin()
        except OtaError as error:
            self._turn(error).check()

    def run(self) -> Cost:
        """The slot holds the image at its end."""
        if self._instead is None:
            try:
                return self._apply()
            except OtaError as error:
                self._turn(error).check()
        assert self._instead
        spent = Cost(self._web.received, self._web.requests, written_bytes=self._inflow.written)
        return spent + self._instead.run()

    def close(self) -> None:
        """Let go of both."""
        self._web.close()
        if self._instead:
            self._instead.close()

    def _turn(self, error: OtaError) -> Job:
        """Plan zchunk anew, from what the slot holds now."""
        offer, device = self._offer, self._device
        _log.warning("%s: %s failed, zchunk goes on: %s", offer.label, self._chosen.method, error)
        self._web.close()
        instead = slotsync.job(device, self._place, offer.content, offer.source)
        total = self._web.received + instead.cost.fetched_bytes
        if device.max_download is not None and total > device.max_download:
            raise UpdateError(
                "over-budget",
                f"the download of {offer.label} by zchunk",
                expected=f"<= {device.max_download} bytes",
                found=total,
            ) from error
        self._instead = instead
        self.methods[offer.filename] = Method.ZCHUNK
        return instead

    def _apply(self) -> Cost:
        slot, manifests, content = self._place.slot, self._device.manifests, self._offer.content
        if slot:
            manifests.begin(slot.name, content.header, self._held.before)
        target = Target(self._place.path, writable=True, compare=not self._held.is_blank)
        with target, self._image() as image:
            self._inflow.write(image, target)
        if slot:
            manifests.commit(slot.name, content.header, content.version, content.url)
        return self._cost(
            self._web.received, self._web.requests, self._inflow.written, content.header.image_size
        )

    @contextmanager
    def _image(self) -> Iterator[Iterator[bytes]]:
        """The image's bytes as the alternative gives them."""
        chosen, device = self._chosen, self._device
        if chosen.base is None:
            yield blocks(Decompress(self._stream, chosen.compressed, chosen.window, chosen.file))
            return
        _, base_size = chosen.base
        with Target(device.path(device.config.running)) as base, self._spool.open() as file:
            delta = Decompress(file, chosen.compressed, chosen.window, chosen.file)
            yield rsync.patch(base.fileno(), base_size, delta)

    def _cost(self, fetched: int, requests: int, written: int, verified: int) -> Cost:
        zero = self._plan.bytes_of(Action.ZERO)
        kept = self._plan.bytes_of(Action.KEEP)
        patched = verified - zero - kept if self._chosen.method is Method.RDIFF else 0
        return Cost(
            fetched_bytes=fetched,
            requests=requests,
            kept_bytes=kept,
            patched_bytes=patched,
            zero_bytes=zero,
            written_bytes=written,
            verified_bytes=verified,
        )
