"""What became of the packages from one release to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packager.sbom import versions
from packager.sbom.package import Package


@dataclass(frozen=True, slots=True)
class Change:
    """One package in two versions."""

    old: Package
    new: Package

    def to_json(self) -> dict[str, str]:
        return {
            "name": self.new.name,
            "architecture": self.new.architecture,
            "old": self.old.version,
            "new": self.new.version,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """Every package that is not in both; each tuple by name.

    A package of the same version that was built for another architecture is removed and added.
    """

    added: tuple[Package, ...]
    removed: tuple[Package, ...]
    upgraded: tuple[Change, ...]
    downgraded: tuple[Change, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "added": [_json(package) for package in self.added],
            "removed": [_json(package) for package in self.removed],
            "upgraded": [change.to_json() for change in self.upgraded],
            "downgraded": [change.to_json() for change in self.downgraded],
        }


def difference(old: Iterable[Package], new: Iterable[Package]) -> Difference:
    """From one list of packages to another."""
    added: list[Package] = []
    removed: list[Package] = []
    upgraded: list[Change] = []
    downgraded: list[Change] = []
    for before, after in _by_name(old, new):
        for one, other in _pairs(before, after):
            order = versions.compare(other.kind or one.kind, other.version, one.version)
            if order:
                before.remove(one)
                after.remove(other)
                (upgraded if order > 0 else downgraded).append(Change(one, other))
        removed += before
        added += after
    return Difference(tuple(added), tuple(removed), tuple(upgraded), tuple(downgraded))


def _by_name(old: Iterable[Package], new: Iterable[Package]) -> Iterator[tuple[list[Package], list[Package]]]:
    """For each name, what is only in the old list, and only in the new one."""
    names: dict[str, tuple[dict[tuple[str, str], Package], dict[tuple[str, str], Package]]]
    names = defaultdict(lambda: ({}, {}))
    for position, packages in enumerate((old, new)):
        for package in packages:
            names[package.name][position][package.version, package.architecture] = package
    for _, (before, after) in sorted(names.items()):
        yield (
            sorted(before[key] for key in before.keys() - after.keys()),
            sorted(after[key] for key in after.keys() - before.keys()),
        )


def _pairs(before: list[Package], after: list[Package]) -> list[tuple[Package, Package]]:
    """Which became which: those of one architecture, or the only ones, whose version is another.

    Several versions of one name stand side by side for kernels, say; those are not paired.
    """
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    pairs = []
    for architecture in sorted({package.architecture for package in before}):
        ours = [package for package in before if package.architecture == architecture]
        theirs = [package for package in after if package.architecture == architecture]
        if len(ours) == len(theirs) == 1:
            pairs.append((ours[0], theirs[0]))
    return pairs


def _json(package: Package) -> dict[str, str]:
    return {"name": package.name, "architecture": package.architecture, "version": package.version}
