"""A release becomes a package: every step in order, and what is left behind has been read back."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ota.formats import cpio
from ota.trust.decryption import Key
from packager import check, describe, encryption, keys, output
from packager.contents import Contents
from packager.entries import Item
from packager.interfaces import Artifact, Companions, Workspace
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
        artifacts = [_build(item, workspace, release.key) for item in release.items]
        package = stage / release.package
        _write(package, describe.describe(release, artifacts), artifacts, signer, time)
        _log.info("reading %s back", release.package)
        bases = tuple(artifact.base for artifact in artifacts if artifact and artifact.base)
        companions = Companions(workspace.publish, bases, release.key)
        contents = check.verify(package, signer.trust, companions)
        (stage / REPORT).write_text(json.dumps(contents.to_json(), indent=2) + "\n")
        published = sorted(f"publish/{path.name}" for path in workspace.publish.iterdir())
        # What the package refers to comes before it.
        output.commit(stage, folder, [*published, release.package, REPORT])
    for name in (release.package, *published, REPORT):
        _log.info("wrote %s", folder / name)
    return contents


def _build(item: Item, workspace: Workspace, key: Key | None) -> Artifact | None:
    """Its artifact; None where it has no payload."""
    if item.image is None or item.row.builder is None:
        return None
    _log.info("%s: building %s from %s", item.name, item.type, item.image.file)
    artifact = item.row.builder.build(item.image, workspace)
    if item.is_encrypted:
        assert key, item  # the release file is read that way
        artifact = encryption.encrypt(artifact, workspace.members, key)
    _log.info("%s: %s, %d bytes", item.name, artifact.member, artifact.file.stat().st_size)
    return artifact


def _write(
    package: Path, text: bytes, artifacts: Sequence[Artifact | None], signer: Signer, time: int
) -> None:
    signature = keys.sign(text, signer, time=time)
    files: list[tuple[str, Path | bytes]] = [(check.DESCRIPTION, text), (check.SIGNATURE, signature)]
    files += [(artifact.member, artifact.file) for artifact in artifacts if artifact]
    with package.open("wb") as archive:
        cpio.write(archive, files)
