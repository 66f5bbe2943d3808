"""Tell a person or a program how far it is: a bar on a terminal, lines in a log, JSON lines on request."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from enum import StrEnum
from typing import Final, TextIO

from ota.interfaces import Event, Progress

WIDTH: Final = 30  # characters of the bar
INTERVAL_S: Final = 0.1  # between two drawings; a phase's end is always drawn


class Style(StrEnum):
    """How progress is told."""

    AUTO = "auto"  # a bar on a terminal, lines elsewhere
    LINES = "lines"
    JSON = "json"
    NONE = "none"


def reporter(style: Style, out: TextIO) -> Progress:
    """A Progress that writes to `out`."""
    if style is Style.NONE:
        return lambda event: None
    if style is Style.JSON:
        return _throttled(lambda event: print(json.dumps(asdict(event)), file=out, flush=True), INTERVAL_S)
    if style is Style.AUTO and out.isatty():
        return _Bar(out)
    return _Lines(out)


class _Bar:
    """One line that is drawn again and again: the phase, and beside it what was fetched meanwhile."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._fetched = ""
        self._show = _throttled(self._draw, INTERVAL_S)

    def __call__(self, event: Event) -> None:
        if event.phase == "fetch":
            self._fetched = f", fetched {event.done / 1e6:.1f} MB"
        else:
            self._show(event)

    def _draw(self, event: Event) -> None:
        share = min(1.0, event.done / event.total) if event.total else 0.0
        bar = ("#" * int(share * WIDTH)).ljust(WIDTH, ".")
        end = "\n" if event.done >= event.total else ""
        text = f"\r{event.phase:>8} [{bar}] {share:4.0%}  {event.done / 1e6:.1f} MB{self._fetched}"
        print(text, end=end, file=self._out, flush=True)


class _Lines:
    """One line at each quarter of a phase: a log is read afterwards."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._said: dict[str, int] = {}  # phase -> its last quarter; phases may go on side by side

    def __call__(self, event: Event) -> None:
        quarter = 4 * event.done // event.total if event.total else 0
        if quarter and quarter != self._said.get(event.phase):
            self._said[event.phase] = quarter
            print(f"{event.phase} {25 * quarter} % of {event.total / 1e6:.1f} MB", file=self._out, flush=True)


def _throttled(report: Progress, interval_s: float) -> Progress:
    last = 0.0

    def tell(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        if event.done >= event.total or now - last >= interval_s:
            last = now
            report(event)

    return tell
