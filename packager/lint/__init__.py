"""What makes updates of an image large, or builds of it differ; what it costs, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from packager import filesystems
from packager.lint import contents, ext4
from packager.lint.cost import Base, draft
from packager.lint.findings import Finding, Findings
from packager.lint.pair import Check, Found, Pair, Side, Undo

__all__ = ["Finding", "Findings", "lint"]

CHECKS: Final[Mapping[str, Sequence[Check]]] = {
    "ext4": (*ext4.CHECKS, *contents.CHECKS),
}
"""What is looked for, by file system."""


def lint(image: Path, against: Path | None = None) -> Findings:
    """Look into an image, and hold it against the one that devices have.

    Raises:
        ConfigError: "file-missing", "filesystem-unknown" or "image-unreadable".
    """
    with _opened(image) as new:
        if against is None:
            return _findings(Pair(new, None), None)
        with _opened(against) as old:
            return _findings(Pair(new, old), Base(old.bytes))


@contextmanager
def _opened(path: Path) -> Iterator[Side]:
    with filesystems.opened(path) as system, draft(path) as data:
        yield Side(path, system, data)


def _findings(pair: Pair, base: Base | None) -> Findings:
    kind = pair.new.layout.kind
    found = [found for check in CHECKS[kind] for found in check(pair)]
    old = pair.old
    now = base.missing(pair.new.bytes) if base else None
    findings = _priced(pair, found, base) if base else [one.finding for one in found]
    findings.sort(key=lambda finding: (-(finding.cost_bytes or 0), finding.code))
    return Findings(pair.new.path.name, old.path.name if old else None, kind, now, tuple(findings))


def _priced(pair: Pair, found: Sequence[Found], base: Base) -> list[Finding]:
    """A cost: what remains of the update when all others are mended, less what remains without it too."""
    undos = [one.undo for one in found if one.undo]
    mended = _missing(pair, undos, base)
    findings = []
    for one in found:
        cost = None
        if one.undo:
            cost = _missing(pair, [undo for undo in undos if undo is not one.undo], base) - mended
        elif one.price:
            cost = one.price(base, mended)
        findings.append(replace(one.finding, cost_bytes=None if cost is None else max(cost, 0)))
    return findings


def _missing(pair: Pair, undos: Sequence[Undo], base: Base) -> int:
    if not undos:
        return base.missing(pair.new.bytes)
    with draft(pair.new.path) as mended:
        for undo in undos:
            undo(mended)
        return base.missing(mended)
