"""Publishing what a build left: what the package refers to first, the package last, then its record.

Nothing is sent before all is looked at: a file that is there already and equal is passed over, and another
one under the same name is an error, since devices may have read half of it. So it may be run again at any
time, and goes on where it was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, NetworkError
from ota.interfaces import Event, Progress
from packager import catalogue, output
from packager.catalogue import Record
from packager.reporting import REPORT
from packager.store import Store
from packager.store.sums import Held, Sent, Sums, measure

RECORD: Final = "record"  # a build's folder of what the catalogue gets

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
    files = find(folder)
    held = [store.holds(file.name, file.sums, by_reading=by_reading) for file in files]
    if not overwrite:
        _refuse_others(store, files, held)
    record = _load_record(folder, files[-1], records, overwrite) if records else None
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
    is_new = catalogue.add(records, *record, overwrite=overwrite)
    return Publication(store.target, tuple(deliveries), records.target, is_new)


def abandon(folder: Path, store: Store) -> int:
    """Throw away what attempts to publish a build left behind that did not end; how many there were."""
    return sum(store.abandon(path.name) for path in _paths(folder))


def find(folder: Path) -> list[File]:
    """What is to be published, in that order.

    Raises:
        ConfigError: "build-incomplete".
    """
    paths = _paths(folder)
    with output.refusing(folder):
        files = [File(path.name, path, measure(path)) for path in paths]
    stated = _report(folder)["sha256"]
    if files[-1].sums.sha256 != stated:
        raise ConfigError(
            "build-incomplete",
            f"{files[-1].path} is not the package that {REPORT} tells of",
            expected=stated,
            found=files[-1].sums.sha256,
            hint="build the release again",
        )
    return files


def _paths(folder: Path) -> list[Path]:
    package = folder / Path(str(_report(folder)["package"])).name
    if not package.is_file():
        raise ConfigError("build-incomplete", f"there is no package {package}")
    beside = folder / "publish"
    published = sorted(path for path in beside.iterdir() if path.is_file()) if beside.is_dir() else []
    return [*published, package]


def _report(folder: Path) -> dict[str, object]:
    try:
        report = json.loads((folder / REPORT).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            "build-incomplete",
            f"{folder} has no {REPORT} that can be read: {error}",
            expected="what `otapack build -o` wrote",
        ) from error
    if not (isinstance(report, dict) and {"package", "sha256"} <= report.keys()):
        raise ConfigError("build-incomplete", f"{folder / REPORT} does not tell of a package")
    return report


def _refuse_others(store: Store, files: list[File], held: list[Held]) -> None:
    others = [file.name for file, found in zip(files, held, strict=True) if found is Held.DIFFERENT]
    if others:
        raise ConfigError(
            "published-differs",
            f"{store.target} has other files of these names: {', '.join(others)}",
            hint="give the release a version of its own; --overwrite harms devices that are updating",
        )


def _load_record(
    folder: Path, package: File, records: Store, overwrite: bool
) -> tuple[Record, dict[str, bytes]]:
    """The record of this build, if the catalogue may have it."""
    record, manifests = catalogue.load(folder / RECORD)
    if not overwrite:
        catalogue.check(records, record)
    return record, manifests


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
