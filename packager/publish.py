"""Publishing what a build left: what the package refers to first, the package last, then its record.

Nothing is sent before all is looked at: a file that is there already and equal is passed over, and another
one under the same name is an error, since devices may have read half of it. So it may be run again at any
time, and goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ota.errors import ConfigError, NetworkError
from ota.interfaces import Event, Progress
from packager import catalogue, finished, output
from packager.finished import Finished
from packager.store import Store
from packager.store.sums import Held, Sent, Sums, measure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class File:
    """One file that is to be published."""

    name: str  # in the store
    path: Path
    sums: Sums


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file that is published."""

    file: File
    sent: Sent
    proof: Held


@dataclass(frozen=True, slots=True)
class Publication:
    """What became of a release."""

    target: str
    deliveries: tuple[Delivery, ...]
    catalogue: str | None = None
    is_new: bool = False  # to the catalogue

    @property
    def sent(self) -> Sent:
        """In all."""
        return sum((delivery.sent for delivery in self.deliveries), Sent())

    def to_json(self) -> dict[str, object]:
        return {
            "target": self.target,
            **asdict(self.sent),
            "files": [
                {
                    "name": delivery.file.name,
                    "size": delivery.file.sums.size,
                    "sha256": delivery.file.sums.sha256,
                    **asdict(delivery.sent),
                    "proved_by": delivery.proof.value,
                }
                for delivery in self.deliveries
            ],
            "catalogue": self.catalogue,
            "recorded": self.is_new,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield self.target
        for delivery in self.deliveries:
            yield f"  {delivery.file.sums.size:>14,}  {delivery.file.name}  {_what(delivery)}"
        sent = self.sent
        yield f"sent {sent.sent_bytes:,} bytes in {sent.parts} parts; {sent.skipped_bytes:,} were there"
        if self.catalogue:
            yield f"the catalogue {self.catalogue} {'has' if self.is_new else 'had'} its record"


def publish(
    folder: Path,
    store: Store,
    records: Store | None,
    *,
    overwrite: bool = False,
    by_reading: bool = False,
    progress: Progress,
) -> Publication:
    """Bring a build's output into a store, and its record into a catalogue.

    Args:
        folder: that `otapack build` wrote.
        records: the catalogue, if it is to know of the release.
        overwrite: whatever is there under the same names.
        by_reading: read every file back, whatever sums the store keeps.
        progress: is told of phase "send".

    Raises:
        ConfigError: "build-incomplete", "published-differs", "release-exists"; nothing was sent.
        NetworkError: "store-refused", "store-content", "connect", "tls", "transfer".
    """
    build = finished.read(folder)
    files = _find(build)
    held = [store.holds(file.name, file.sums, by_reading=by_reading) for file in files]
    if not overwrite:
        _refuse_others(store, files, held)
    record, manifests = build.record() if records else (None, {})
    if records and record and not overwrite:
        catalogue.check(records, record)
    reporter = _Reporter(progress, sum(file.sums.size for file in files))
    deliveries = []
    for file, found in zip(files, held, strict=True):
        if found.is_equal:
            reporter.add(file.sums.size)
            delivery = Delivery(file, Sent(skipped_bytes=file.sums.size), found)
        else:
            delivery = _deliver(store, file, reporter, overwrite=overwrite, by_reading=by_reading)
        _log.info("%s: %s", file.name, _what(delivery))
        deliveries.append(delivery)
    if records is None or record is None:
        return Publication(store.target, tuple(deliveries))
    is_new = catalogue.add(records, record, manifests, overwrite=overwrite)
    return Publication(store.target, tuple(deliveries), records.target, is_new)


def abandon(folder: Path, store: Store) -> int:
    """Throw away what attempts to publish a build left behind that did not end; how many there were."""
    return sum(store.abandon(Path(name).name) for name in finished.read(folder).published)


def _find(build: Finished) -> list[File]:
    """What is to be published, in that order."""
    files = []
    for name in build.published:
        path = build.folder / name
        with output.refusing(build.folder):
            file = File(path.name, path, measure(path))
        if file.sums.sha256 != build.sha256[name]:
            raise ConfigError(
                "build-incomplete",
                f"{path} is not the file that the build left",
                expected=build.sha256[name],
                found=file.sums.sha256,
                hint="build the release again",
            )
        files.append(file)
    return files


def _refuse_others(store: Store, files: list[File], held: list[Held]) -> None:
    others = [file.name for file, found in zip(files, held, strict=True) if found is Held.DIFFERENT]
    if others:
        raise ConfigError(
            "published-differs",
            f"{store.target} has other files of these names: {', '.join(others)}",
            hint="give the release a version of its own; --overwrite harms devices that are updating",
        )


def _deliver(store: Store, file: File, reporter: _Reporter, *, overwrite: bool, by_reading: bool) -> Delivery:
    sent = store.send(file.name, file.path, file.sums, overwrite=overwrite, told=reporter.add)
    proof = store.holds(file.name, file.sums, by_reading=by_reading)
    if not proof.is_equal:
        raise NetworkError(
            "store-content",
            f"{store.target}: {file.name} is not there as it was sent",
            expected=f"{file.sums.size} bytes, sha256 {file.sums.sha256}",
            found=f"a file that is {proof}",
        )
    return Delivery(file, sent, proof)


class _Reporter:
    """Adds up what is there."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._done = 0
        self._total = total

    def add(self, size: int) -> None:
        self._done += size
        self._progress(Event("send", self._done, self._total))


def _what(delivery: Delivery) -> str:
    sent = delivery.sent
    if sent.parts == 0 and sent.resumed_parts == 0:
        return f"was there ({delivery.proof})"
    resumed = f", {sent.resumed_parts} parts were there" if sent.resumed_parts else ""
    return f"sent in {sent.parts} parts{resumed}; proved by {delivery.proof}"
