"""The bases of a release: images of earlier releases, as far as they are known; and why others are none.

A base is taken from what is named for it: images or .zck files, a folder that `otapack build` left, or else
the catalogue, which knows an image's manifest and no more. An image without one is cut into chunks here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, DeviceError
from ota.formats import zchunk
from ota.io.target import Target
from ota.sync import index as indexing
from packager import catalogue, entries, published, store
from packager.choice import Reason
from packager.earlier import Named
from packager.entries import Item
from packager.interfaces import Base, Bases, Refusal
from packager.record import Record
from packager.release import Release

__all__ = ["Base", "Bases", "Reason", "Refusal", "find", "index", "target"]

RECORD: Final = "record"  # in a build's output: what the catalogue is to get
PUBLISH: Final = "publish"  # in a build's output: what a server is to have

_Lookup = Callable[[Item], Base | Refusal]

_log = logging.getLogger(__name__)


def find(release: Release, *, time: int, threads: int = 1) -> dict[str, Bases]:
    """What each image that is delivered as a delta may be made from, by the image's name.

    Args:
        release: it names where to look.
        time: seconds since 1970, against which ages count.
        threads: how many images are read at a time.

    Raises:
        ConfigError: base-product, release-content, release-exists, or what store and catalogue answer.
        UpdateError: a .zck has no usable header.
    """
    lookups = list(_lookups(release, time))
    items = [item for item in release.items if item.is_delta]
    with ThreadPoolExecutor(threads) as pool:
        looks = {item.name: [pool.submit(lookup, item) for lookup in lookups] for item in items}
        found = {name: [look.result() for look in of_image] for name, of_image in looks.items()}
    for refusal in (of for of_image in found.values() for of in of_image if isinstance(of, Refusal)):
        _log.info("no delta from %s: %s", refusal.version, refusal.reason)
    return {
        name: Bases(
            tuple(of for of in of_image if isinstance(of, Base)),
            tuple(of for of in of_image if isinstance(of, Refusal)),
        )
        for name, of_image in found.items()
    }


def index(version: str, image: str, path: Path) -> Base:
    """An image that is at hand, read once and cut into chunks.

    Raises:
        ConfigError: "file-missing": it cannot be read.
    """
    _log.info("%s: reading %s, as version %s", image, path, version)
    try:
        with Target(path) as file:
            manifest, sha256 = indexing.index(file, 0, file.size, lambda event: None)
            return Base(version, image, file.size, sha256, manifest, path)
    except DeviceError as error:  # a slot's errors: here it is the operator's file
        raise ConfigError("file-missing", error.what, found=error.found) from error


def target(release: Release, item: Item) -> str | None:
    """Where an image goes, as records tell it: None is the slot that does not run."""
    slots = entries.places(release.boards)
    devices = [item.entry(place).device or "" for place in slots]
    if devices == [slot.device for slot in slots.values()]:
        return None
    return " ".join(dict.fromkeys(devices)) or None


def _lookups(release: Release, time: int) -> Iterator[_Lookup]:
    """One for each earlier release: those that are named, then those of the catalogue, the newest first."""
    records = _catalogued(release)
    for named in release.earlier.named:
        record = records.pop(named.version, None)
        if named.images is not None:
            yield partial(_from_file, named, named.images, record)
        elif named.folder:
            yield _from_folder(release, named.version, named.folder, record)
        else:
            yield _from_catalogue(release, record) if record else _refused(named.version, Reason.NO_RECORD)
    rules = release.earlier
    old = catalogue.prune(records.values(), keep=rules.keep, max_age_days=rules.max_age_days, now=time)
    versions = {record.version for record in old}
    for version, record in records.items():
        yield _refused(version, Reason.OLD) if version in versions else _from_catalogue(release, record)


def _catalogued(release: Release) -> dict[str, Record]:
    """By version, the newest first; a record of this very version is none of a base."""
    if release.earlier.catalogue is None:
        return {}
    records = catalogue.read(store.open(release.earlier.catalogue), release.name)
    return {record.version: record for record in reversed(records) if record.version != release.version}


def _refused(version: str, reason: Reason) -> _Lookup:
    return lambda _: Refusal(version, reason)


def _from_file(named: Named, images: Mapping[str, Path], record: Record | None, item: Item) -> Base | Refusal:
    """From an image or .zck that is named for it."""
    path = images.get(item.name)
    if path is None:
        return Refusal(named.version, Reason.LAYOUT)
    if published.is_zck(path):
        header = published.manifest(path)
        base = Base(named.version, item.name, header.image_size, None, header, path)
    else:
        base = index(named.version, item.name, path)
    known = record.images.get(item.name) if record else None
    if known and (known.size, known.sha256) != (base.size, base.sha256 or known.sha256):
        raise ConfigError(
            "release-exists",
            f"{path} is not the {item.name!r} of {named.version} that the catalogue knows",
            expected=f"{known.size} bytes of sha256 {known.sha256}",
            found=f"{base.size} bytes of sha256 {base.sha256}",
        )
    return base


def _from_folder(release: Release, version: str, folder: Path, catalogued: Record | None) -> _Lookup:
    """From what an earlier `otapack build` left."""
    at = store.open(str(folder / RECORD))
    products = catalogue.products(at)
    if not products:
        return _refused(version, Reason.NO_RECORD)
    if release.name not in products:
        raise ConfigError(
            "base-product",
            f"{folder} is no base of this release",
            expected=f"product {release.name}",
            found=f"product {', '.join(products)}",
        )
    records = {record.version: record for record in catalogue.read(at, release.name)}
    if version not in records:
        raise ConfigError(
            "release-content",
            f"{release.file}: base {version!r}: {folder} is of another version",
            expected=version,
            found=", ".join(records),
        )
    record = records[version]
    if catalogued and not catalogued.has_content_of(record):
        raise ConfigError("release-exists", f"{folder}: the catalogue knows {version} with other content")
    return partial(_from_record, release, record, partial(catalogue.manifest, at, record), folder / PUBLISH)


def _from_catalogue(release: Release, record: Record) -> _Lookup:
    at = store.open(release.earlier.catalogue or "")
    manifest = partial(catalogue.manifest, at, record)
    return partial(_from_record, release, record, manifest, release.earlier.published)


def _from_record(
    release: Release,
    record: Record,
    manifest: Callable[[str], bytes | None],
    published_in: Path | None,
    item: Item,
) -> Base | Refusal:
    known = record.images.get(item.name)
    boards = {board.name for board in release.boards}
    if known is None or known.target != target(release, item) or boards.isdisjoint(record.boards):
        return Refusal(record.version, Reason.LAYOUT)
    data = manifest(item.name)
    if data is None:
        return Refusal(record.version, Reason.MANIFEST)
    zck = published_in / known.zck if published_in and known.zck else None
    return Base(
        record.version,
        item.name,
        known.size,
        known.sha256,
        zchunk.parse_manifest(data),
        zck if zck and zck.is_file() else None,
    )
