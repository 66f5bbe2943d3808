"""What a release costs each device, before it is built or after: the same table as a build's.

After a build, its folder tells what it published, and manifests alone give the rest: an earlier release that
became a base since then, other limits, another budget. Nothing of an image is read for that, unless an image
is all there is of a base.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ota.errors import ConfigError
from ota.formats import zchunk
from packager import bases, catalogue, choice, price, reporting
from packager.choice import Candidate
from packager.costs import Costs
from packager.interfaces import Bases
from packager.price import Cpu, Method, Price
from packager.record import Record
from packager.release import Release

_FILES: Final = (Method.RDIFF, Method.FULL)


def of_built(release: Release, folder: Path, *, time: int, threads: int = 1) -> Costs:
    """Of what `otapack build` left in a folder.

    Args:
        release: it names bases and limits.
        folder: as `otapack build -o` had it.
        time: seconds since 1970, against which the ages of bases count.
        threads: how many images are read at a time.

    Raises:
        ConfigError: "file-missing"; "release-content": the folder is of another release; and what `bases`
            and `choice` refuse.
    """
    record, manifests = catalogue.load(folder / bases.RECORD)
    if (record.product, record.version) != (release.name, release.version):
        raise ConfigError(
            "release-content",
            f"{folder} is of another release",
            expected=f"{release.name} {release.version}",
            found=f"{record.product} {record.version}",
        )
    rows = _published(folder)
    candidates: list[Candidate] = []
    for name, found in bases.find(release, time=time, threads=threads).items():
        if name not in manifests:
            raise ConfigError("release-content", f"{folder} has no manifest of {name!r}")
        own = [row for row in rows if row["image"] == name]
        of_image = list(_candidates(name, manifests[name], found, own))
        candidates += choice.choose(of_image, release.limits)
    return Costs(
        release.name,
        release.version,
        _size(folder / release.package),
        _sizes(record),
        tuple(candidates),
    )


def _candidates(
    name: str, manifest: bytes, found: Bases, rows: Sequence[Mapping[str, Any]]
) -> Iterator[Candidate]:
    header = zchunk.parse_manifest(manifest)
    whole = price.zchunk(header, None)
    yield Candidate(name, None, whole)
    for base in found.found:
        yield Candidate(name, base.version, price.zchunk(header, base.manifest))
    for refusal in found.refused:
        yield Candidate(name, refusal.version, whole, refusal.reason)
    for row in rows:
        if row["method"] == Method.RDIFF and row["base"] in found.versions:
            yield Candidate(name, row["base"], _price(row))
    if full := next((row for row in rows if row["method"] == Method.FULL), None):
        for version in (None, *found.versions):
            yield Candidate(name, version, _price(full))


def _published(folder: Path) -> list[Mapping[str, Any]]:
    """The rows of the build's report whose file lies on the server: what was chosen for some base."""
    path = folder / reporting.REPORT
    try:
        rows = json.loads(path.read_bytes())["estimate"]["rows"]
        return [row for row in rows if row["chosen"] and row["method"] in _FILES]
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("release-content", f"{path} is no report of this otapack") from error


def _price(row: Mapping[str, Any]) -> Price:
    """As it was measured when the file was made."""
    size = row["storage_bytes"]
    return Price(
        Method(row["method"]),
        row["fetched_bytes"],
        row["requests"],
        row["memory_bytes"],
        Cpu(row["cpu"]),
        size,
        size if row["method"] == Method.RDIFF else 0,
    )


def _sizes(record: Record) -> dict[str, int]:
    return {name: image.size for name, image in record.images.items()}


def _size(package: Path) -> int:
    try:
        return package.stat().st_size
    except OSError as error:
        raise ConfigError("file-missing", f"{package} cannot be read: {error.strerror}") from error
