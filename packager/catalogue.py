"""The catalogue: what is kept of each release, so that later ones know what devices hold.

In a folder or bucket (`packager.store`) of its own: PRODUCT/VERSION.json is a release's record
(`packager.record` says what stands in it), and PRODUCT/VERSION/ has the zchunk headers that it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from packager import record as records
from packager.record import Image, Manifest, Published, Record
from packager.store import Store
from packager.store.folder import Folder

__all__ = ["Image", "Manifest", "Published", "Record"]

_DAY: Final = 24 * 60 * 60  # seconds


def products(store: Store) -> list[str]:
    """Whose releases a catalogue knows."""
    return sorted({name.split("/")[0] for name in store.names() if _is_record(name)})


def read(store: Store, product: str) -> tuple[Record, ...]:
    """All releases of a product, the oldest first.

    Raises:
        ConfigError: "catalogue-record": one is damaged, or a newer otapack wrote it.
    """
    names = [name for name in store.names(f"{product}/") if _is_record(name)]
    records = (_read(store, name) for name in names)
    return tuple(sorted((r for r in records if r), key=lambda record: (record.when, record.version)))


def manifest(store: Store, record: Record, image: str) -> bytes | None:
    """The zchunk header of an image; None where the catalogue has none.

    Raises:
        ConfigError: "catalogue-record": it is another than the record says.
    """
    stated, name = record.images[image].manifest, record.manifest_name(image)
    if stated is None or name is None or (data := store.read(name)) is None:
        return None
    found = hashlib.sha256(data).hexdigest()
    if found != stated.sha256:
        raise ConfigError(
            "catalogue-record",
            f"{store.target}: {name} is not the manifest that {record.name} names",
            expected=stated.sha256,
            found=found,
        )
    return data


def check(store: Store, record: Record) -> bool:
    """Whether a release is in the catalogue already.

    Raises:
        ConfigError: "release-exists": another one has its product and version.
    """
    there = _read(store, record.name)
    if there is not None and not there.has_content_of(record):
        raise ConfigError(
            "release-exists",
            f"{store.target} knows {record.product} {record.version} with other content",
            hint="give the release a version of its own",
        )
    return there is not None


def add(store: Store, record: Record, manifests: Mapping[str, bytes], *, overwrite: bool = False) -> bool:
    """Record a release; False where it is there already. The record comes last: it makes the release known.

    Args:
        manifests: by image, for those that have one.
        overwrite: replace whatever is there.

    Raises:
        ConfigError: "release-exists", "catalogue-record".
    """
    if not overwrite and check(store, record):
        return False
    for image, data in manifests.items():
        name, stated = record.manifest_name(image), record.images[image].manifest
        assert name and stated and hashlib.sha256(data).hexdigest() == stated.sha256, image
        store.write(name, data)
    store.write(record.name, records.render(record))
    return True


def copy(store: Store, other: Store) -> tuple[int, int]:
    """Make another catalogue equal to this one, as a cache is; how many releases were added and removed.

    Raises:
        ConfigError: "catalogue-record".
    """
    known = {record.name: record for product in products(store) for record in read(store, product)}
    cached = {record.name: record for product in products(other) for record in read(other, product)}
    new = [record for name, record in known.items() if cached.get(name) != record]
    old = [record for name, record in cached.items() if name not in known]
    for record in new:
        found = {image: manifest(store, record, image) for image in record.images}
        manifests = {image: data for image, data in found.items() if data is not None}
        add(other, record, manifests, overwrite=True)
    for record in old:
        remove(other, record)
    return len(new), len(old)


def remove(store: Store, record: Record) -> None:
    """Forget a release; its record goes first, so that nobody reads half of it."""
    store.remove(record.name)
    for image in record.images:
        if name := record.manifest_name(image):
            store.remove(name)


def prune(
    records: Iterable[Record], *, keep: int | None = None, max_age_days: int | None = None, now: int
) -> tuple[Record, ...]:
    """Which releases of a product are to be forgotten, the oldest first. The newest stays in any case.

    Args:
        keep: the newest so many stay.
        max_age_days: older ones go.
        now: seconds since 1970.
    """
    newest_first = sorted(records, key=lambda record: (record.when, record.version), reverse=True)
    return tuple(
        record
        for place, record in reversed(list(enumerate(newest_first)))
        if place > 0
        and (
            (keep is not None and place >= keep)
            or (max_age_days is not None and now - record.when > max_age_days * _DAY)
        )
    )


def load(folder: Path, name: str | None = None) -> tuple[Record, dict[str, bytes]]:
    """A record that a build left, and its manifests by image.

    Args:
        name: of the record; default: there is but one.

    Raises:
        ConfigError: "file-missing", "catalogue-record".
    """
    store = Folder(str(folder))
    names = [name] if name else [found for found in store.names() if _is_record(found)]
    if len(names) != 1 or (record := _read(store, names[0])) is None:
        raise ConfigError(
            "file-missing",
            f"{folder} is no record of a build",
            expected=name or "one PRODUCT/VERSION.json",
            found=len(names) if name is None else None,
        )
    manifests = {}
    for image in record.images:
        if (data := manifest(store, record, image)) is not None:
            manifests[image] = data
        elif stated := record.manifest_name(image):
            raise ConfigError("file-missing", f"{folder}: there is no manifest {stated}")
    return record, manifests


def _is_record(name: str) -> bool:
    return name.count("/") == 1 and name.endswith(".json")


def _read(store: Store, name: str) -> Record | None:
    data = store.read(name)
    if data is None:
        return None
    return records.parse(data, name, store.target)
