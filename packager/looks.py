"""What a build finds out about its images beside making them.

Of each image: its packages, and what became of them since every earlier release that is at hand; who causes
the bytes of the update from the newest of those, and what makes it larger than it need be.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ota.errors import ConfigError
from packager import diff, lint, published, sbom
from packager.entries import Item
from packager.interfaces import Artifact, Bases, Workspace
from packager.release import Release

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bill:
    """The software bill of materials of a release.

    Attributes:
        document: SPDX.
        images: what report.json says, by image.
    """

    document: bytes
    images: Mapping[str, Mapping[str, object]]


def bill(
    release: Release, artifacts: Sequence[Artifact | None], workspace: Workspace, *, time: int
) -> Bill | None:
    """The packages of all images; None where nothing is known of any.

    Args:
        release, artifacts: what is built.
        workspace: where earlier images are decoded.
        time: seconds since 1970.

    Raises:
        ConfigError: "sbom-format", "image-unreadable".
    """
    images, told = [], {}
    for item, artifact in _images(release, artifacts):
        assert item.image, item
        inventory = sbom.of(item.image.file, item.sbom)
        earlier = {
            version: sbom.of(path).packages
            for version, path in _at_hand(item, workspace)
            if inventory.packages
        }
        since = {
            version: sbom.difference(packages, inventory.packages)
            for version, packages in earlier.items()
            if packages
        }
        told[item.name] = sbom.to_json(inventory, since)
        if inventory.packages:
            sha256 = str(artifact.properties(release.boards[0].slots[0])["image-sha256"])
            images.append(sbom.Image(item.name, sha256, inventory.packages, since))
    if not images:
        return None
    return Bill(sbom.render(release.name, release.version, images, time=time), told)


def findings(
    release: Release, artifacts: Sequence[Artifact | None], workspace: Workspace
) -> Mapping[str, Mapping[str, object]]:
    """Keys `diff` and `lint` of report.json, each by image; what cannot be told of one is left out, and said.

    Args:
        release, artifacts: what is built.
        workspace: where earlier images are decoded.

    Raises:
        ConfigError: "image-unreadable".
    """
    differences: dict[str, object] = {}
    found: dict[str, object] = {}
    for item, artifact in _images(release, artifacts):
        assert item.image, item
        image = item.image.file
        newest = dict(list(_at_hand(item, workspace))[-1:])
        for version, old in newest.items():
            _log.info("%s: against %s", item.name, version)
            header = artifact.delta.header if artifact.delta else None
            told = diff.diff(old, image, header=header).to_json()
            differences[item.name] = {**told, "old": version, "new": release.version}
        old_image = next(iter(newest.values()), None)
        try:
            looked = lint.lint(image, old_image).to_json()
        except ConfigError as error:
            if error.code != "filesystem-unknown":
                raise
            _log.info("%s: lint does not look into it: %s", item.name, error.what)
            continue
        found[item.name] = {**looked, "against": next(iter(newest), None)}
    return {"diff": differences, "lint": found}


def _images(release: Release, artifacts: Sequence[Artifact | None]) -> Iterator[tuple[Item, Artifact]]:
    """Those that everyone may look into."""
    for item, artifact in zip(release.items, artifacts, strict=True):
        if (
            artifact
            and item.image
            and item.key == "image"
            and item.row.is_for_slots
            and not item.is_encrypted
        ):
            yield item, artifact


def _at_hand(item: Item, workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """Version and image of each earlier release that there is more of than a manifest, the newest last."""
    for base in workspace.bases.get(item.name, Bases()).found:
        if base.file:
            yield base.version, published.at_hand(base, workspace.scratch).path
