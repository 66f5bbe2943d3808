"""What makes updates of an image large, or builds of it differ; what it costs, and what mends it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ota.errors import ConfigError
from packager import filesystems
from packager.lint import contents, erofs, ext4, ext4_maker, squashfs
from packager.lint.cost import Base
from packager.lint.draft import Draft
from packager.lint.findings import Finding, Findings
from packager.lint.pair import Check, Found, Pair, Undo
from packager.lint.remake import Maker, Remake
from packager.lint.side import Side

__all__ = ["Finding", "Findings", "lint"]

CHECKS: Final[Mapping[str, Sequence[Check]]] = {
    "ext4": (*ext4.CHECKS, *contents.CHECKS),
    "squashfs": (*squashfs.CHECKS, *contents.CHECKS),
    "erofs": (*erofs.CHECKS, *contents.CHECKS),
}
"""What is looked for, by file system."""

MAKERS: Final[Mapping[str, Maker]] = {
    "ext4": ext4_maker.MAKER,
    "squashfs": squashfs.MAKER,
    "erofs": erofs.MAKER,
}
"""What makes an image again, by file system."""

_log = logging.getLogger(__name__)


def lint(image: Path, against: Path | None = None, *, remake_limit: int | None = None) -> Findings:
    """Look into an image, and hold it against the one that devices have.

    Args:
        image: a file system.
        against: another one.
        remake_limit: bytes; larger images are not made again, and what only that tells is not measured. By
            default 64 MiB where making them is to compress them, 1 GiB for ext4.

    Raises:
        ConfigError: "file-missing", "filesystem-unknown" or "image-unreadable".
    """
    with _opened(image) as new:
        if against is None:
            return _findings(Pair(new), None)
        with _opened(against) as old:
            base = Base(old.bytes)
            if old.kind != new.kind:
                found = _findings(Pair(new), None)
                return replace(
                    found,
                    against=against.name,
                    update_bytes=base.missing(new.bytes),
                    findings=(_other_kind(new, old), *found.findings),
                )
            with _remake(new, old, remake_limit) as remake:
                return _findings(Pair(new, old, remake), base)


def _other_kind(new: Side, old: Side) -> Finding:
    what = f"a file system of another kind: {new.kind}, the base is {old.kind}"
    return Finding("filesystem-kind", what, f"make a {old.kind}, or send the full image this once")


@contextmanager
def _remake(new: Side, old: Side, limit: int | None) -> Iterator[Remake | None]:
    maker = MAKERS.get(new.kind)
    if maker is None or not all(maker.can_make(side, limit) for side in (new, old)):
        yield None
        return
    with TemporaryDirectory(prefix="otapack-") as folder:
        remake = Remake(new, old, maker, Path(folder))
        try:
            remake.check()
        except ConfigError as error:
            _log.warning("%s; what only that would tell is not measured", error)
            yield None
        else:
            yield remake


@contextmanager
def _opened(path: Path) -> Iterator[Side]:
    with filesystems.opened(path) as system, Draft(path) as data:
        yield Side(path, system, data)


def _findings(pair: Pair, base: Base | None) -> Findings:
    found = [found for check in CHECKS[pair.new.kind] for found in check(pair)]
    old = pair.old
    now = base.missing(pair.new.bytes) if base else None
    findings = _priced(pair, found, base) if base else [one.finding for one in found]
    findings.sort(key=lambda finding: (-(finding.cost_bytes or 0), finding.code))
    return Findings(pair.new.path.name, old.path.name if old else None, pair.new.kind, now, tuple(findings))


def _priced(pair: Pair, found: Sequence[Found], base: Base) -> list[Finding]:
    """A cost: what remains of the update when all others are mended, less what remains without it too."""
    undos = [one.undo for one in found if one.undo]
    mended = _missing(pair, undos, base)
    findings = []
    for one in found:
        cost = one.finding.cost_bytes
        if one.undo:
            cost = _missing(pair, [undo for undo in undos if undo is not one.undo], base) - mended
        elif one.price:
            cost = one.price(base, mended)
        findings.append(replace(one.finding, cost_bytes=None if cost is None else max(cost, 0)))
    return findings


def _missing(pair: Pair, undos: Sequence[Undo], base: Base) -> int:
    if not undos:
        return base.missing(pair.new.bytes)
    with Draft(pair.new.path) as mended:
        for undo in undos:
            undo(mended)
        return base.missing(mended)
