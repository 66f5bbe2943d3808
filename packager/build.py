"""A release becomes a package: every step in order, and what is left behind has been read back."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ota.board import Slot
from ota.formats import cpio, description, selection
from packager import check, keys, output
from packager.builders import BUILDERS
from packager.contents import Contents
from packager.interfaces import Artifact, Companions, Image, Workspace
from packager.keys import Signer
from packager.release import Release

REPORT: Final = "report.json"

_log = logging.getLogger(__name__)


def build(release: Release, signer: Signer, folder: Path, *, time: int) -> Contents:
    """Write the package, what is to be published, and the report into `folder`; or nothing.

    Args:
        release: what to build.
        signer: who signs it.
        folder: made if it is absent; files of the same names are replaced.
        time: seconds since 1970, stated in the signature. Equal arguments give equal files.

    Returns:
        What is in the package, read back from it.
    """
    keys.sign(b"", signer, time=time)  # a wrong key shows now, not after an hour of compressing
    with output.staging(folder) as stage:
        workspace = Workspace(stage / "members", stage / "publish", release.version)
        for part in (workspace.members, workspace.publish):
            part.mkdir()
        artifacts = [_build(image, workspace) for image in release.images]
        package = stage / release.package
        _write(package, _describe(release, artifacts), artifacts, signer, time)
        _log.info("reading %s back", release.package)
        bases = tuple(artifact.base for artifact in artifacts if artifact.base)
        contents = check.verify(package, signer.trust, Companions(workspace.publish, bases))
        (stage / REPORT).write_text(json.dumps(contents.to_json(), indent=2) + "\n")
        published = sorted(f"publish/{path.name}" for path in workspace.publish.iterdir())
        # What the package refers to comes before it.
        output.commit(stage, folder, [*published, release.package, REPORT])
    for name in (release.package, *published, REPORT):
        _log.info("wrote %s", folder / name)
    return contents


def _build(image: Image, workspace: Workspace) -> Artifact:
    _log.info("%s: building %s from %s", image.name, image.type, image.file)
    artifact = BUILDERS[image.type].build(image, workspace)
    _log.info("%s: %s, %d bytes", image.name, artifact.member, artifact.file.stat().st_size)
    return artifact


def _describe(release: Release, artifacts: Sequence[Artifact]) -> bytes:
    """The sw-description: one mode for each slot, which differ in devices and bootenv only."""
    digests = [_sha256(artifact.file) for artifact in artifacts]
    made = list(zip(release.images, artifacts, digests, strict=True))
    modes = {
        slot.mode: {
            "images": [_entry(release, slot, *of_image) for of_image in made],
            "bootenv": [{"name": name, "value": value} for name, value in slot.bootenv.items()],
        }
        for slot in release.board.slots
    }
    about = {"version": release.version, "description": release.description}
    software = {
        **{name: value for name, value in about.items() if value},
        "hardware-compatibility": list(release.board.revisions),
        release.board.software_set: modes,
    }
    return description.render({selection.ROOT: software})


def _entry(release: Release, slot: Slot, image: Image, artifact: Artifact, sha256: str) -> dict[str, object]:
    entry = {
        "name": image.name,
        "version": release.version,
        "filename": artifact.member,
        "type": image.type,
        "device": slot.device,
        "compressed": artifact.compressed and str(artifact.compressed),
        "sha256": sha256,
        "properties": dict(artifact.properties(release.board.other(slot))),
    }
    return {name: value for name, value in entry.items() if value}


def _write(package: Path, text: bytes, artifacts: Sequence[Artifact], signer: Signer, time: int) -> None:
    signature = keys.sign(text, signer, time=time)
    files: list[tuple[str, Path | bytes]] = [(check.DESCRIPTION, text), (check.SIGNATURE, signature)]
    files += [(artifact.member, artifact.file) for artifact in artifacts]
    with package.open("wb") as archive:
        cpio.write(archive, files)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
