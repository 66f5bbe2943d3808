"""A release becomes a package: every step in order, and what is left behind has been read back."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.formats import cpio
from ota.trust.decryption import Key
from packager import (
    bases,
    catalogue,
    check,
    describe,
    encryption,
    hooks,
    keys,
    output,
    packages,
    recording,
    reporting,
    store,
)
from packager.costs import Costs
from packager.entries import Item
from packager.interfaces import Artifact, Bases, Companions, Workspace
from packager.keys import Signer
from packager.packages import Listed
from packager.release import Release
from packager.reporting import Built
from packager.store.folder import Folder

_MEMBERS: Final = "members"
_SCRATCH: Final = "scratch"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Made:
    """What a release became, before it is read back."""

    workspace: Workspace
    artifacts: list[Artifact | None]
    costs: Costs
    packages: tuple[Listed, ...]


def build(release: Release, signer: Signer, folder: Path, *, time: int, threads: int | None = None) -> Built:
    """Write the package, what is to be published, the record and the reports into `folder`; or nothing.

    Args:
        release: what to build.
        signer: who signs it.
        folder: made if it is absent; files of the same names are replaced.
        time: seconds since 1970, stated in the signature. Equal arguments give equal files.
        threads: how many work at a time; one a processor where nothing is said.

    Returns:
        What is in the package, read back from it, and what it costs devices.
    """
    keys.sign(b"", signer, time=time)  # a wrong key shows now, not after an hour of compressing
    about = _variables(release, folder)
    hooks.run(release.hooks.before, release.file.parent, about)
    count = threads or len(os.sched_getaffinity(0))
    found = bases.find(release, time=time, threads=count)
    with output.staging(folder) as stage:
        made = _make(stage, release, signer, found, time, count)
        workspace, artifacts, costs = made.workspace, made.artifacts, made.costs
        record_files = _record(stage, release, artifacts, time)
        package = stage / release.package
        _check_budget(release, costs)
        _log.info("reading %s back", release.package)
        base_files = tuple(base for artifact in artifacts if artifact for base in artifact.bases)
        contents = check.verify(package, signer.trust, Companions(workspace.publish, base_files, release.key))
        built = Built(release, found, contents, costs, time, made.packages)
        published = sorted(f"{bases.PUBLISH}/{path.name}" for path in workspace.publish.iterdir())
        # What the package refers to comes before it.
        documents = [packages.DOCUMENT] if (stage / packages.DOCUMENT).exists() else []
        names = [*published, release.package, *documents, *record_files]
        names += reporting.write(stage, built, names)
        hooks.run(
            release.hooks.after,
            release.file.parent,
            {**about, "OTAPACK_STAGE": stage.absolute(), "OTAPACK_PACKAGE": package.absolute()},
        )
        output.commit(stage, folder, names)
    for name in names:
        _log.info("wrote %s", folder / name)
    return built


def price(release: Release, signer: Signer, folder: Path, *, time: int, threads: int | None = None) -> Costs:
    """What that release would cost devices: all of it is built in `folder`, and nothing is left there."""
    keys.sign(b"", signer, time=time)
    count = threads or len(os.sched_getaffinity(0))
    found = bases.find(release, time=time, threads=count)
    with output.staging(folder) as stage:
        return _make(stage, release, signer, found, time, count).costs


def _make(
    stage: Path, release: Release, signer: Signer, found: Mapping[str, Bases], time: int, threads: int
) -> Made:
    """All that is to be published, and the package."""
    workspace = _workspace(stage, release, found, threads)
    artifacts = [_build(item, workspace, release.key) for item in release.items]
    package = stage / release.package
    listed = packages.of_release(release, found, artifacts)
    document = packages.document(release, listed, time=time)
    public = packages.member(document) if document and packages.is_public(listed) else None
    if document:
        (stage / packages.DOCUMENT).write_bytes(document)
    _write(package, release, artifacts, public, signer, time)
    return Made(workspace, artifacts, _costs(release, package, artifacts), listed)


def _variables(release: Release, folder: Path) -> dict[str, str | Path]:
    """What all hooks are told."""
    return {
        "OTAPACK_NAME": release.name,
        "OTAPACK_VERSION": release.version,
        "OTAPACK_RELEASE": release.file.absolute(),
        "OTAPACK_FOLDER": folder.absolute(),
    }


def _workspace(stage: Path, release: Release, found: Mapping[str, Bases], threads: int) -> Workspace:
    workspace = Workspace(
        members=stage / _MEMBERS,
        publish=stage / bases.PUBLISH,
        scratch=stage / _SCRATCH,
        version=release.version,
        bases=found,
        limits=release.limits,
        threads=threads,
    )
    for part in (workspace.members, workspace.publish, workspace.scratch):
        part.mkdir()
    return workspace


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


def _record(stage: Path, release: Release, artifacts: Sequence[Artifact | None], time: int) -> list[str]:
    """Write the record for the catalogue, which must not know this version with other content."""
    manifests = recording.manifests(release, artifacts)
    record = recording.record(release, artifacts, manifests, time=time)
    if release.earlier.catalogue:
        catalogue.check(store.open(release.earlier.catalogue), record)
    folder = Folder(str(stage / bases.RECORD))
    catalogue.add(folder, record, manifests)
    return [f"{bases.RECORD}/{name}" for name in folder.names()]


def _write(
    package: Path,
    release: Release,
    artifacts: Sequence[Artifact | None],
    bill: bytes | None,
    signer: Signer,
    time: int,
) -> None:
    """The package; the list of packages in it is signed by its digest."""
    signed = {packages.ATTRIBUTE: hashlib.sha256(bill).hexdigest()} if bill else {}
    text = describe.describe(release, artifacts, signed)
    signature = keys.sign(text, signer, time=time)
    files: list[tuple[str, Path | bytes]] = [(check.DESCRIPTION, text), (check.SIGNATURE, signature)]
    files += [(artifact.member, artifact.file) for artifact in artifacts if artifact]
    files += [(packages.MEMBER, bill)] if bill else []
    with package.open("wb") as archive:
        cpio.write(archive, files)


def _costs(release: Release, package: Path, artifacts: Sequence[Artifact | None]) -> Costs:
    deltas = [artifact.delta for artifact in artifacts if artifact and artifact.delta]
    return Costs(
        release.name,
        release.version,
        package.stat().st_size,
        {delta.candidates[0].image: delta.size for delta in deltas},
        tuple(candidate for delta in deltas for candidate in delta.candidates),
    )


def _check_budget(release: Release, costs: Costs) -> None:
    refusal = costs.refusal(release.limits)
    for line in costs.lines():
        _log.log(logging.WARNING if refusal else logging.INFO, "%s", line)
    if refusal:
        raise refusal
