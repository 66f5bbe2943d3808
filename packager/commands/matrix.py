"""otapack matrix."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ota.errors import ConfigError
from packager.commands import Answer
from packager.commands.build import add_changes, signing_time

if TYPE_CHECKING:
    from packager.matrix import Outcome, Progress

HELP: Final = "Build many releases at once, each into DIR/PRODUCT-VERSION: by processes, or on Dask."

_EPOCH: Final = "SOURCE_DATE_EPOCH"

_log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("releases", type=Path, nargs="+", metavar="RELEASE.toml")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="made if absent")
    parser.add_argument("--jobs", type=int, metavar="N", help="builds at a time; default: one a processor")
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="of a scheduler; or 'local': a cluster on this machine for the time"
    )
    parser.add_argument(
        "--dev-keys", type=Path, metavar="DIR", help="sign with a key made in DIR, for a first try"
    )
    add_changes(parser)


def run(options: argparse.Namespace) -> Answer:
    from packager import matrix, workers

    processors = len(os.sched_getaffinity(0))
    jobs = _jobs(options) or min(processors, len(options.releases))
    settings = matrix.Settings(
        changes=tuple(options.set),
        development_keys=options.dev_keys and options.dev_keys.absolute(),
        time=signing_time(os.environ),
        threads=max(1, processors // jobs),
        environment={_EPOCH: os.environ[_EPOCH]} if _EPOCH in os.environ else {},
    )
    planned = matrix.plan(options.releases, options.output, settings)
    place = workers.dask(options.dask, jobs) if options.dask else workers.processes(jobs)
    total = sum(job.size for job in planned if isinstance(job, matrix.Job))
    with place as executor, _told(options.quiet, total) as progress:
        outcomes = matrix.run(planned, settings, executor, progress)
    failed = [outcome.error for outcome in outcomes if outcome.error]
    return Answer(
        {"releases": [outcome.to_json() for outcome in outcomes], "failed": len(failed)},
        [outcome.line() for outcome in outcomes],
        failed[0] if failed else None,
    )


def _jobs(options: argparse.Namespace) -> int | None:
    jobs: int | None = options.jobs
    if jobs is not None and (jobs < 1 or options.dask not in (None, "local")):
        raise ConfigError(
            "config-value",
            "--jobs is wrong",
            expected="nothing: a cluster has as many workers as it has" if jobs > 0 else "1 or more",
            found=jobs,
        )
    return jobs


@contextmanager
def _told(quiet: bool, total: int) -> Iterator[Progress]:
    """A bar with rate and time left where stderr is a terminal, else a line a release."""
    if quiet or not sys.stderr.isatty():
        yield lambda outcome: _log.info("%s", outcome.line())
        return
    from packager.bar import bar

    with bar() as shown:
        task = shown.add_task("build", total=total)

        def tell(outcome: Outcome) -> None:
            shown.console.print(outcome.line(), markup=False, highlight=False)
            shown.advance(task, outcome.job.size if outcome.job else 0)

        yield tell
