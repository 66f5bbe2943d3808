"""Every method for every base of an image, built and measured for real.

zchunk costs what a device's own plan says. An rdiff delta is made from each base whose image is at hand, and
the full image is compressed once: files for the server, left in publish/ where they turn out to be chosen.
Bases of the same content share a delta. Decoded bases lie in the workspace meanwhile.
"""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import zstandard

from ota.errors import ConfigError
from ota.formats.alternatives import Alternative
from ota.formats.selection import Compression
from ota.settings import Table
from packager import choice, compression, price, published, rdiff
from packager.choice import Candidate
from packager.compression import Setting
from packager.interfaces import Base, BaseFile, Bases, Delta, Image, Measured, Workspace
from packager.price import Method

LEVEL: Final = 12  # zstd's; more would take longer than the deltas themselves, and gain little

_FRAME_HEADER: Final = 18  # bytes at most, RFC 8878 §3.1.1.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """Of an image that is delivered as a delta."""

    methods: frozenset[Method]
    block: int  # bytes, of rdiff
    rdiff: Setting
    full: Setting


def read(table: Table) -> Settings:
    """`methods`, `block`, `rdiff-level` and `full-level`."""
    words = table.texts("methods") or (Method.ZCHUNK,)
    if Method.ZCHUNK not in words or not set(words) <= set(Method) or len(set(words)) < len(words):
        raise ConfigError(
            "config-value",
            f"{table.path}: methods is wrong",
            expected=f"{Method.ZCHUNK}, which serves every device, and what else may: "
            f"{Method.RDIFF}, {Method.FULL}",
            found=", ".join(words),
        )
    return Settings(
        frozenset(map(Method, words)),
        rdiff.read(table),
        compression.zstd(table, "rdiff-level", LEVEL),
        compression.zstd(table, "full-level", LEVEL),
    )


def make(image: Image, settings: Settings, delta: Delta, bases: Bases, workspace: Workspace) -> Delta:
    """The delta with all candidates of an image, one chosen for each base.

    Args:
        image: what is delivered.
        settings: of that image.
        delta: its .zck, which is written.
        bases: of that image.
        workspace: where files go; its limits are kept.

    Raises:
        ConfigError: release-content.
        OtaError: a base cannot be read.
    """
    name, whole = image.name, price.zchunk(delta.header, None)
    found = [Candidate(name, None, whole)]
    found += [
        Candidate(name, base.version, price.zchunk(delta.header, base.manifest)) for base in bases.found
    ]
    found += [Candidate(name, refusal.version, whole, refusal.reason) for refusal in bases.refused]
    with ThreadPoolExecutor(workspace.threads) as pool:
        work = _Work(image, settings, delta, workspace)
        full = pool.submit(work.full) if Method.FULL in settings.methods else None
        wanted = _wanted(bases, delta) if Method.RDIFF in settings.methods else []
        at_hand = dict(zip(wanted, pool.map(work.at_hand, wanted), strict=True))
        first: dict[str, Base] = {}  # of bases with the same content, by sha256
        for base, file in at_hand.items():
            first.setdefault(file.sha256, base)
        deltas = {
            sha256: pool.submit(work.rdiff, base.version, at_hand[base]) for sha256, base in first.items()
        }
        for base, file in at_hand.items():
            found.append(deltas[file.sha256].result().candidate(name, base.version))
        if full:
            found += [full.result().candidate(name, version) for version in (None, *bases.versions)]
    chosen = choice.choose(found, workspace.limits)
    kept = {candidate.file for candidate in chosen if candidate.chosen}
    for path in {candidate.file for candidate in chosen if candidate.file} - kept:
        path.unlink()
    used = [at_hand[base] for sha256, base in first.items() if deltas[sha256].result().path in kept]
    return replace(delta, candidates=chosen, bases=tuple(used))


@dataclass(frozen=True, slots=True)
class _File:
    """One that may be published."""

    path: Path
    alternative: Alternative

    def candidate(self, image: str, base: str | None) -> Candidate:
        cost = price.file(self.alternative.method, self.alternative.size, self.alternative.window)
        return Candidate(image, base, cost, file=self.path, alternative=self.alternative)


@dataclass(frozen=True, slots=True)
class _Work:
    """What threads do for one image; each call leaves one file."""

    image: Image
    settings: Settings
    delta: Delta
    workspace: Workspace

    def full(self) -> _File:
        """The image, compressed."""
        path = self.workspace.published(self.image, ".zst")
        with self.image.file.open("rb") as source:
            measured = Measured(source)
            compression.write(measured, self.delta.size, path, self.settings.full)
        return self._file(Method.FULL, path, measured, None)

    def rdiff(self, version: str, base: BaseFile) -> _File:
        """The delta from a base."""
        path = self.workspace.published(self.image, f"-from-{version}.rdiff.zst")
        _log.info("%s: rdiff from %s", self.image.name, version)
        ends = rdiff.write(base.path, self.image.file, path, self.settings.block, self.settings.rdiff)
        if (ends.base.sha256, ends.base.size) != (base.sha256, base.size):
            raise _changed(base.path)
        return self._file(Method.RDIFF, path, ends.image, (base.sha256, base.size))

    def at_hand(self, base: Base) -> BaseFile:
        """The image of a base."""
        return published.at_hand(base, self.workspace.scratch)

    def _file(self, method: Method, path: Path, image: Measured, base: tuple[str, int] | None) -> _File:
        if image.sha256 != self.delta.sha256:
            raise _changed(self.image.file)
        with path.open("rb") as file:
            window = zstandard.get_frame_parameters(file.read(_FRAME_HEADER)).window_size
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        return _File(path, Alternative(method, path.name, size, digest, Compression.ZSTD, window, base))


def _wanted(bases: Bases, delta: Delta) -> list[Base]:
    """Bases from which a delta can be made, and is of use."""
    for base in bases.found:
        if base.file is None:
            _log.info("%s from %s: no rdiff, since its image is not at hand", base.image, base.version)
    return [base for base in bases.found if base.file and base.sha256 != delta.sha256]


def _changed(path: Path) -> ConfigError:
    return ConfigError("release-content", f"{path} changed while the release was built")
