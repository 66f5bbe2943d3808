"""Why an update costs what it costs: by file, and by what lint finds, against each image's latest base."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cmp_to_key, partial
from pathlib import Path
from typing import Any, Final

from ota.errors import ConfigError
from ota.formats.zchunk import Header
from packager import diff, published
from packager.interfaces import Base, Bases
from packager.lint import lint
from packager.release import Release
from packager.sbom import versions

_log = logging.getLogger(__name__)

_UNKNOWN: Final = ("filesystem-unknown", "image-unreadable")


def of_release(release: Release, bases: Mapping[str, Bases], publish: Path) -> dict[str, dict[str, Any]]:
    """The keys `diff` and `lint` of report.json, for all images that are delivered as deltas.

    Args:
        release: what was built.
        bases: of its images.
        publish: where its .zck files lie, which tell the length of each chunk.
    """
    found: dict[str, dict[str, Any]] = {"diff": {}, "lint": {}}
    for item in release.items:
        if not (item.is_delta and item.image):
            continue
        base = _latest(bases.get(item.name, Bases()))
        old = base.file if base else None
        if base and old:
            header = diff.manifest(publish / f"{item.name}-{release.version}.zck")
            difference = _diff(old, item.image.file, header, base)
            if difference is not None:
                found["diff"][item.name] = {**difference, "old": base.version, "new": release.version}
        image = None if old is None or published.is_zck(old) else old
        found["lint"][item.name] = {
            **_lint(item.image.file, image),
            "image": item.name,
            "against": base.version if base and image else None,
        }
    return found


def _latest(bases: Bases) -> Base | None:
    """Of those whose image or .zck is at hand, the one with the highest version."""
    at_hand = [base for base in bases.found if base.file]
    later = cmp_to_key(partial(versions.compare, ""))
    return max(at_hand, key=lambda base: later(base.version), default=None)


def _diff(old: Path, new: Path, header: Header | None, base: Base) -> Mapping[str, object] | None:
    """None where a file system cannot be taken apart: a base's fault is none of the release's."""
    try:
        return diff.diff(old, new, header=header, base=base.manifest).to_json()
    except ConfigError as error:
        if error.code not in _UNKNOWN:
            raise
        _log.warning("the report does not say which files cause the bytes: %s", error)
        return None


def _lint(image: Path, against: Path | None) -> Mapping[str, object]:
    try:
        return lint(image, against).to_json()
    except ConfigError as error:
        if error.code not in _UNKNOWN:
            raise
        return {"filesystem": None, "note": error.what, "findings": []}
