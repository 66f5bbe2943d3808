"""What a build leaves to be read: report.json, and whatever is made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packager import looks, report, sbom, tools
from packager.contents import Contents
from packager.costs import Costs
from packager.interfaces import Artifact, Workspace
from packager.looks import Bill
from packager.release import Release

REPORT: Final = "report.json"
PAGE: Final = "report.html"


@dataclass(frozen=True, slots=True)
class Built:
    """What a report is made from."""

    release: Release
    artifacts: Sequence[Artifact | None]  # of the release's entries
    workspace: Workspace
    contents: Contents
    costs: Costs
    bill: Bill | None
    time: int  # seconds since 1970


def write(stage: Path, built: Built, outputs: Sequence[str]) -> tuple[str, ...]:
    """Write the reports into the stage.

    Args:
        stage: the finished output, as it will appear.
        built: what it is.
        outputs: names of its files, relative to the stage.

    Returns:
        Names of the files that were written, relative to the stage.
    """
    found = {
        **built.contents.to_json(),
        "product": built.release.name,
        "estimate": built.costs.to_json(),
        "build": _build(stage, built.time, outputs),
        **looks.findings(built.release, built.artifacts, built.workspace),
        **({"sbom": built.bill.images} if built.bill else {}),
    }
    files: dict[str, bytes] = {
        REPORT: (json.dumps(found, indent=2) + "\n").encode(),
        PAGE: report.render(found).encode(),
        **({sbom.MEMBER: built.bill.document} if built.bill else {}),
    }
    for name, data in files.items():
        (stage / name).write_bytes(data)
    return tuple(files)


def _build(stage: Path, time: int, outputs: Sequence[str]) -> dict[str, object]:
    """What it takes to get the same bytes again, and these bytes' digests."""
    return {
        "source_date_epoch": time,
        "tools": tools.versions(),
        "outputs": {
            name: {"size": (stage / name).stat().st_size, "sha256": _sha256(stage / name)} for name in outputs
        },
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
