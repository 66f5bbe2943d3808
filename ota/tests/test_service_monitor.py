"""What those who watch an installation are told, and in which order."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ota.board import load
from ota.decision import Update
from ota.formats import description
from ota.formats import selection as selecting
from ota.formats.selection import Selection
from ota.interfaces import Cost, Event
from ota.job import Job
from ota.service.daemon import lines_to
from ota.service.messages import Level, Notice, Progress, Request, State
from ota.service.monitor import Monitor

Told = Progress | Notice

DESCRIPTION = b"""software = { version = "2.0"; hardware-compatibility: [ "1.0" ]; stable = { b = { images: (
    { filename = "one.img"; type = "raw"; device = "/dev/one"; },
    { filename = "two.zck"; type = "delta"; device = "/dev/two"; } ); }; }; }"""
REQUEST = Request(source=2, dry_run=False, info="deployment 7", selection=None)


@pytest.fixture
def told() -> list[Told]:
    return []


@pytest.fixture
def monitor(told: list[Told]) -> Monitor:
    return Monitor(told.append, REQUEST)


def progress(told: list[Told]) -> list[Progress]:
    return [each for each in told if isinstance(each, Progress)]


BOARD = load("demo", Path())


def update(*jobs: Job) -> Update:
    chosen = selecting.select(description.parse(DESCRIPTION), "demo", Selection("stable", "b"))
    return Update(chosen, "CN=vendor", "0" * 64, jobs, Cost(), 0, BOARD, BOARD.slots[0], Path("/nowhere"))


def events(monitor: Monitor, *told: tuple[str, int]) -> Cost:
    for phase, percent in told:
        monitor.progress(Event(phase, 3 * percent, 300))
    return Cost(written_bytes=5)


def test_steps_follow_one_another(monitor: Monitor, told: list[Told]) -> None:
    jobs = (
        Job(run=lambda: events(monitor, ("write", 40), ("write", 100), ("index", 50), ("index", 100))),
        Job(run=lambda: events(monitor, ("fetch", 10), ("write", 3), ("fetch", 100), ("verify", 40))),
    )
    decided = monitor.decided(update(*jobs))
    assert [job.run() for job in decided.jobs] == [Cost(written_bytes=5)] * 2
    monitor.installed()
    monitor.end()
    seen = progress(told)
    assert {each.source for each in seen} == {2}
    assert (seen[0].state, seen[0].info) == (State.START, "deployment 7")
    assert [each.info for each in seen[1:]] == ['{"0": {"VERSION": "2.0"}}'] + [""] * (len(seen) - 2)
    assert [(each.state, each.step, each.percent, each.download_percent) for each in seen[2:]] == [
        (State.RUN, 1, 0, 0),
        (State.PROGRESS, 1, 20, 0),
        (State.PROGRESS, 1, 50, 0),
        (State.PROGRESS, 1, 75, 0),
        (State.PROGRESS, 1, 100, 0),
        (State.RUN, 2, 0, 0),
        (State.DOWNLOAD, 2, 0, 10),
        (State.PROGRESS, 2, 1, 10),
        (State.DOWNLOAD, 2, 1, 100),
        (State.PROGRESS, 2, 70, 100),
        (State.PROGRESS, 2, 100, 100),
        (State.SUCCESS, 2, 100, 100),
    ]
    assert {(each.step, each.steps, each.image, each.handler) for each in seen[2:]} == {
        (1, 2, "one.img", "raw"),
        (2, 2, "two.zck", "delta"),
    }
    notices = [(each.state, each.level) for each in told if isinstance(each, Notice)]
    assert notices == [(state, Level.INFO) for state in (State.START, State.RUN, State.SUCCESS, State.IDLE)]


def test_a_step_never_goes_back_and_says_nothing_twice(monitor: Monitor, told: list[Told]) -> None:
    job = Job(
        run=lambda: events(monitor, *[(phase, at) for at in range(101) for phase in ("verify", "write")])
    )
    decided = monitor.decided(update(job, Job()))
    told.clear()
    decided.jobs[0].run()
    percents = [each.percent for each in progress(told)]
    assert percents == [0, *range(50, 101)]


def test_what_happens_before_the_first_step_is_no_step(monitor: Monitor, told: list[Told]) -> None:
    told.clear()
    events(monitor, ("package", 50), ("index", 50), ("fetch", 50))
    assert told == []


def test_a_total_that_nobody_knows_is_no_percentage(monitor: Monitor, told: list[Told]) -> None:
    def run() -> Cost:
        monitor.progress(Event("write", 5, 0))
        return Cost()

    decided = monitor.decided(update(Job(run=run), Job()))
    decided.jobs[0].run()
    assert [each.percent for each in progress(told)][-2:] == [0, 100]


def test_what_is_logged_meanwhile_is_told(monitor: Monitor, told: list[Told]) -> None:
    log = logging.getLogger("ota.somewhere")
    log.warning("not this")
    told.clear()
    with lines_to(monitor):
        log.warning("a %s", "warning")
        log.error("an error")
    log.warning("nor this")
    assert told == [
        Notice(State.RUN, Level.WARNING, "a warning"),
        Progress(State.PROGRESS, source=2, info="a warning"),
        Notice(State.RUN, Level.ERROR, "an error"),
        Progress(State.PROGRESS, source=2, info="an error"),
    ]


@pytest.mark.parametrize(
    ("dry_run", "reboot", "is_said"), [(True, None, True), (False, False, True), (False, None, False)]
)
def test_the_tools_are_told_where_they_must_not_reboot(
    dry_run: bool, reboot: bool | None, is_said: bool
) -> None:
    told: list[Told] = []
    monitor = Monitor(told.append, replace(REQUEST, dry_run=dry_run))
    planned = update(Job(), Job())
    monitor.decided(replace(planned, description=replace(planned.description, reboot=reboot)))
    infos = [each.info for each in progress(told)]
    assert ('{"1": { "reboot-mode" : "no-reboot"}}' in infos) == is_said
    assert ('{"2": { "dry-run" : true }}' in infos) == dry_run


def test_a_failure_says_why(monitor: Monitor, told: list[Told]) -> None:
    monitor.failed("busy: another ota command is at work")
    assert told[-2:] == [
        Notice(State.FAILURE, Level.ERROR, "busy: another ota command is at work"),
        Progress(State.FAILURE, source=2, info="busy: another ota command is at work"),
    ]
