"""Tells clients of one installation: its steps, how far each is, what is logged meanwhile, how it ends.

A step is an entry of the sw-description. Its first half is writing, its second reading back. States follow
one another as in SWUpdate (core/stream_interface.c, core/progress_thread.c): START, then RUN for each step
with PROGRESS and DOWNLOAD in between, then SUCCESS or FAILURE, and IDLE for those who ask.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ota.decision import Update
from ota.interfaces import Cost, Event
from ota.job import Job
from ota.service.messages import Cause, Level, Notice, Progress, Request, State

Tell = Callable[[Progress | Notice], None]

# Phases of a step: percent before, percent that it is worth.
_SHARES: Final = {"write": (0, 50), "verify": (50, 50), "index": (50, 50)}
_DOWNLOAD: Final = "fetch"
_LEVELS: Final = {
    logging.ERROR: Level.ERROR,
    logging.WARNING: Level.WARNING,
    logging.INFO: Level.INFO,
}


class Monitor:
    """One installation, as those see it who watch."""

    def __init__(self, tell: Tell, request: Request) -> None:
        self._tell = tell
        self._is_dry_run = request.dry_run
        self._now = Progress(source=request.source)
        self._notice(State.START, Level.INFO, "the update starts")
        self._progress(State.START, request.info)

    def decided(self, update: Update) -> Update:
        """Tell what will be done; the jobs of the answer tell when it is their turn."""
        version = update.description.version
        self._notice(State.RUN, Level.INFO, f"version {version}, signed by {update.signer}")
        self._about(Cause.NONE, json.dumps({"VERSION": version}))
        if self._is_dry_run:
            self._about(Cause.DRY_RUN, '{ "dry-run" : true }')
        if self._is_dry_run or update.description.reboot is False:
            self._about(Cause.REBOOT_MODE, '{ "reboot-mode" : "no-reboot"}')
        self._now = replace(self._now, steps=len(update.jobs))
        pairs = zip(update.description.entries, update.jobs, strict=True)
        jobs = (
            self._announcing(number, str(entry.filename or entry.name or ""), entry.type, job)
            for number, (entry, job) in enumerate(pairs, 1)
        )
        return replace(update, jobs=tuple(jobs))

    def progress(self, event: Event) -> None:
        """The agent's own progress; what moves by less than a percent is not told."""
        if not self._now.step or not event.total:
            return  # still deciding, or nobody knows how much there is
        percent = min(100, 100 * event.done // event.total)
        if event.phase == _DOWNLOAD and percent != self._now.download_percent:
            self._now = replace(self._now, download_percent=percent, download_bytes=event.total)
            self._progress(State.DOWNLOAD)
        elif event.phase in _SHARES:
            before, worth = _SHARES[event.phase]
            self._step_is(before + percent * worth // 100)

    def line(self, record: logging.LogRecord) -> None:
        """What was logged."""
        text = record.getMessage()
        self._notice(State.RUN, _LEVELS.get(record.levelno, Level.DEBUG), text)
        self._progress(State.PROGRESS, text)

    def installed(self) -> None:
        done = "the update can be installed" if self._is_dry_run else "the update is installed"
        self._notice(State.SUCCESS, Level.INFO, done)
        self._progress(State.SUCCESS)

    def failed(self, why: str) -> None:
        self._notice(State.FAILURE, Level.ERROR, why)
        self._progress(State.FAILURE, why)

    def end(self) -> None:
        self._notice(State.IDLE, Level.INFO, "waiting for the next update")

    def _announcing(self, number: int, image: str, handler: str, job: Job) -> Job:
        def run() -> Cost:
            here = Progress(steps=self._now.steps, step=number, image=image, handler=handler)
            self._now = replace(here, source=self._now.source)
            self._progress(State.RUN)
            cost = job.run()
            self._step_is(100)
            return cost

        return replace(job, run=run)

    def _step_is(self, percent: int) -> None:
        """It never goes back: phases may take turns."""
        if percent > self._now.percent:
            self._now = replace(self._now, percent=percent)
            self._progress(State.PROGRESS)

    def _about(self, cause: Cause, what: str) -> None:
        # The tools look for this very text (swupdate: tools/swupdate-progress.c).
        self._progress(State.RUN, f'{{"{cause.value}": {what}}}')

    def _progress(self, state: State, info: str = "") -> None:
        self._tell(replace(self._now, state=state, info=info))

    def _notice(self, state: State, level: Level, text: str) -> None:
        self._tell(Notice(state, level, text))
