"""The packages in the images of a release, what changed since its bases, and the document that says so.

The document lies beside the package and, compressed with zstd, in it, as a member that no entry names: stock
SWUpdate passes it over, and so do our devices. The member's sha256 stands in the sw-description, under
`sbom-sha256`, and is signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import zstandard

from packager import published, sbom
from packager.entries import Item
from packager.interfaces import Artifact, Base, Bases
from packager.release import Release
from packager.sbom import Difference, Inventory

DOCUMENT: Final = "sbom.spdx.json"
"""What the document is called beside the package."""

MEMBER: Final = f"{DOCUMENT}.zst"
"""In the package, which devices download: a list of packages shrinks to a twentieth."""

LEVEL: Final = 19  # zstd's, of the member

ATTRIBUTE: Final = "sbom-sha256"
"""Of the sw-description's `software`: the member's digest."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One image."""

    name: str
    sha256: str
    is_encrypted: bool
    inventory: Inventory
    since: Mapping[str, Difference]  # by version of the base

    def to_json(self) -> dict[str, object]:
        """What `report.json` says of it."""
        return sbom.to_json(self.inventory, self.since)


def of_release(
    release: Release, bases: Mapping[str, Bases], artifacts: Sequence[Artifact | None]
) -> tuple[Listed, ...]:
    """The images of which packages are known, or of which it has to be said that they are not.

    Raises:
        ConfigError: "sbom-format": a list of packages is damaged; "file-missing".
    """
    made = zip(release.items, artifacts, strict=True)
    found = (
        _listed(release, item, artifact, bases.get(item.name, Bases()))
        for item, artifact in made
        if artifact and item.image and item.key == "image"
    )
    return tuple(listed for listed in found if listed)


def document(release: Release, listed: Sequence[Listed], *, time: int) -> bytes | None:
    """The document in SPDX; None where nothing is known that could stand in it.

    Args:
        time: seconds since 1970, as which it states when it was made.
    """
    images = [
        sbom.Image(image.name, image.sha256, image.inventory.packages, image.since)
        for image in listed
        if image.inventory.packages
    ]
    return sbom.render(release.name, release.version, images, time=time) if images else None


def member(document: bytes) -> bytes:
    """The document as it lies in the package."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(document)


def is_public(listed: Sequence[Listed]) -> bool:
    """Whether the document may lie in the package: it would tell what an encrypted image holds."""
    return not any(image.is_encrypted for image in listed)


def _listed(release: Release, item: Item, artifact: Artifact, bases: Bases) -> Listed | None:
    assert item.image, item
    inventory = sbom.of(item.image.file, item.sbom)
    if not (inventory.lists or item.is_delta):  # a kernel, say
        return None
    since = dict(_changes(release, item, inventory, bases)) if inventory.lists else {}
    return Listed(item.name, _sha256(item, artifact), item.is_encrypted, inventory, since)


def _changes(
    release: Release, item: Item, inventory: Inventory, bases: Bases
) -> Iterator[tuple[str, Difference]]:
    for base in bases.found:
        old = _of_base(release, item, base)
        if old and old.lists:
            yield base.version, sbom.difference(old.packages, inventory.packages)


def _of_base(release: Release, item: Item, base: Base) -> Inventory | None:
    """From the document of its build, or else from the image; None where neither is at hand."""
    for named in release.earlier.named:
        if named.version == base.version and named.folder and (named.folder / DOCUMENT).is_file():
            return sbom.read(named.folder / DOCUMENT, item.name)
    if base.file is None or published.is_zck(base.file):
        return None
    return sbom.of(base.file)


def _sha256(item: Item, artifact: Artifact) -> str:
    if artifact.delta:
        return artifact.delta.sha256
    assert item.image, item
    with item.image.file.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
