"""What a build leaves to be read: report.json, and whatever is made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packager import tools
from packager.bases import PUBLISH
from packager.contents import Contents
from packager.costs import Costs
from packager.interfaces import Bases
from packager.packages import Listed
from packager.release import Release

REPORT: Final = "report.json"
PAGE: Final = "report.html"


@dataclass(frozen=True, slots=True)
class Built:
    """What a report is made from."""

    release: Release
    bases: Mapping[str, Bases]  # by image
    contents: Contents
    costs: Costs
    time: int  # seconds since 1970
    packages: tuple[Listed, ...] = ()


def write(stage: Path, built: Built, outputs: Sequence[str]) -> tuple[str, ...]:
    """Write the reports into the stage.

    Args:
        stage: the finished output, as it will appear.
        built: what it is.
        outputs: names of its files, relative to the stage.

    Returns:
        Names of the files that were written, relative to the stage.
    """
    from packager import causes  # these are for a build alone, and slow to import
    from packager.report import render

    report = {
        **built.contents.to_json(),
        "earlier": {image: _earlier(bases) for image, bases in built.bases.items()},
        "estimate": built.costs.to_json(),
        **causes.of_release(built.release, built.bases, stage / PUBLISH),
        "sbom": {listed.name: listed.to_json() for listed in built.packages},
        "build": _build(stage, built, outputs),
    }
    (stage / REPORT).write_text(json.dumps(report, indent=2) + "\n")
    (stage / PAGE).write_text(render(json.loads((stage / REPORT).read_text())))
    return (REPORT, PAGE)


def _earlier(bases: Bases) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"version": base.version, "size": base.size, "sha256": base.sha256} for base in bases.found
    ]
    found += [{"version": refusal.version} for refusal in bases.refused]
    return found


def _build(stage: Path, built: Built, outputs: Sequence[str]) -> dict[str, object]:
    """What it takes to get the same bytes again, and these bytes' digests."""
    return {
        "source_date_epoch": built.time,
        "commit": built.release.commit,
        "tools": tools.versions(),
        "outputs": {
            name: {"size": (stage / name).stat().st_size, "sha256": _sha256(stage / name)} for name in outputs
        },
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
