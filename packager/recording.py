"""The record that a build leaves for the catalogue, so that later releases can be deltas from this one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from packager import bases, tools
from packager.entries import Item
from packager.interfaces import Artifact, Delta
from packager.record import Image, Manifest, Published, Record
from packager.release import Release


def record(
    release: Release, artifacts: Sequence[Artifact | None], manifests: Mapping[str, bytes], *, time: int
) -> Record:
    """What the catalogue is to know of a release.

    Args:
        release: what was built.
        artifacts: of its entries.
        manifests: as below.
        time: seconds since 1970.
    """
    return Record(
        product=release.name,
        version=release.version,
        boards=tuple(board.name for board in release.boards),
        when=time,
        images={
            item.name: _image(release, item, artifact, manifests.get(item.name))
            for item, artifact in _images(release, artifacts)
        },
        commit=release.commit,
        tools=tools.versions(),
    )


def manifests(release: Release, artifacts: Sequence[Artifact | None]) -> dict[str, bytes]:
    """The zchunk headers of all images that later ones can be deltas from, by image."""
    found = {}
    for item, artifact in _images(release, artifacts):
        if artifact.delta:
            found[item.name] = artifact.delta.header.data
        elif item.image and item.row.is_for_slots:
            found[item.name] = bases.index(release.version, item.name, item.image.file).manifest.data
    return found


def _images(release: Release, artifacts: Sequence[Artifact | None]) -> Iterator[tuple[Item, Artifact]]:
    for item, artifact in zip(release.items, artifacts, strict=True):
        if artifact and item.key == "image":
            yield item, artifact


def _image(release: Release, item: Item, artifact: Artifact, manifest: bytes | None) -> Image:
    delta = artifact.delta
    said = artifact.properties(release.boards[0].slots[0])
    return Image(
        size=int(str(said["image-size"])),
        sha256=str(said["image-sha256"]),
        target=bases.target(release, item),
        manifest=_manifest(item, manifest) if manifest else None,
        published=tuple(_published(delta)) if delta else (),
    )


def _manifest(item: Item, data: bytes) -> Manifest:
    return Manifest(f"{item.name}.zck-header", hashlib.sha256(data).hexdigest())


def _published(delta: Delta) -> Iterator[Published]:
    yield Published(delta.zck, "zchunk", delta.header.file_size)
    told = set()
    for found in delta.candidates:
        file = found.alternative
        if found.chosen and file and file.file not in told:
            told.add(file.file)
            yield Published(file.file, file.method, file.size, found.base if file.base else None)
