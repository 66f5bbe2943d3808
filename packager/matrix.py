"""Many releases at once: each built into a folder of its own, by whatever executor there is.

What fails fails alone; the others are built all the same. Equal arguments give equal files, whoever builds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ota.errors import ConfigError, OtaError
from packager import build, keys, release, tools, workers
from packager.keys import Signer


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all releases of one call.

    Attributes:
        changes: in place of what the release files say, as `packager.overrides` explains.
        development_keys: a folder; who signs what names no signer.
        time: seconds since 1970, stated in the signatures.
        threads: of each build.
        environment: set where a build runs, beside what is there.
    """

    changes: Sequence[str]
    development_keys: Path | None
    time: int
    threads: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Job:
    """A release to be built."""

    file: Path  # absolute, as all paths in here
    name: str
    version: str
    size: int  # bytes of its images and other files: what progress counts
    signer: Signer
    folder: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one release file."""

    file: Path
    job: Job | None  # None where the file could not be read
    error: OtaError | None = None

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        job = self.job
        return {
            "release": str(self.file),
            "product": job and job.name,
            "version": job and job.version,
            "folder": str(job.folder) if job else None,
            "error": self.error and self.error.to_json(),
        }

    def line(self) -> str:
        """For people."""
        what = f"{self.job.name} {self.job.version}" if self.job else str(self.file)
        return f"{what}: {self.error or (self.job and self.job.folder)}"


Progress = Callable[[Outcome], None]
"""Is told as soon as a release is built or has failed."""


def plan(files: Iterable[Path], folder: Path, settings: Settings) -> list[Job | Outcome]:
    """Read the release files; what cannot be read is an outcome already.

    Raises:
        ConfigError: "release-content": two of them are the same version of the same product.
    """
    unique = dict.fromkeys(file.absolute() for file in files)
    planned = [_planned(file, folder.absolute(), settings) for file in unique]
    taken: dict[Path, Path] = {}
    for job in planned:
        if isinstance(job, Job) and taken.setdefault(job.folder, job.file) != job.file:
            raise ConfigError(
                "release-content",
                f"{taken[job.folder]} and {job.file} are the same version of the same product",
                found=f"{job.name} {job.version}",
            )
    return planned


def run(
    planned: Sequence[Job | Outcome], settings: Settings, executor: Executor, progress: Progress
) -> list[Outcome]:
    """Build them all; the outcomes are in the order of what was planned."""
    jobs = [each for each in planned if isinstance(each, Job)]
    unread = [each for each in planned if isinstance(each, Outcome)]
    outcomes = {}
    for outcome in chain(unread, _completed(jobs, settings, executor)):
        progress(outcome)
        outcomes[outcome.file] = outcome
    return [outcomes[each.file] for each in planned]


def _planned(file: Path, folder: Path, settings: Settings) -> Job | Outcome:
    try:
        wanted = release.read(file, settings.changes)
        return Job(
            file,
            wanted.name,
            wanted.version,
            sum(item.image.file.stat().st_size for item in wanted.items if item.image),
            keys.choose(wanted.signer, settings.development_keys, file),
            folder / f"{wanted.name}-{wanted.version}",
        )
    except OtaError as error:
        return Outcome(file, None, error)


def _completed(jobs: Sequence[Job], settings: Settings, executor: Executor) -> Iterator[Outcome]:
    """Each as soon as it is there."""
    versions = tools.versions()
    running: dict[Future[None], Job] = {executor.submit(_build, job, settings, versions): job for job in jobs}
    try:
        for future in as_completed(running):
            yield Outcome(running[future].file, running[future], _error(future))
    finally:
        for future in running:
            future.cancel()  # what has not begun, where something else went wrong


def _build(job: Job, settings: Settings, versions: Mapping[str, str]) -> None:
    """Runs in a worker."""
    if (own := tools.versions()) != versions:
        raise ConfigError(
            "worker-differs", f"the worker that is to build {job.name} {job.version}",
            expected=_listed(versions), found=_listed(own), hint="its files would be other ones",
        )  # fmt: skip
    # For hooks. Not taken back: a cluster's worker may have another build of this call under way.
    os.environ.update(settings.environment)
    wanted = release.read(job.file, settings.changes)
    build.build(wanted, job.signer, job.folder, time=settings.time, threads=settings.threads)


def _error(future: Future[None]) -> OtaError | None:
    """What went wrong; what is a fault of our own is raised."""
    try:
        future.result()
    except OtaError as error:
        return error
    except Exception as error:
        if not workers.is_lost(error):
            raise
        return ConfigError(
            "worker-lost", "the build did not end: its worker went away", found=type(error).__name__,
            hint="perhaps for lack of memory: try fewer --jobs",
        )  # fmt: skip
    return None


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
