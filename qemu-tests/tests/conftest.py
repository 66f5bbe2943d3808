"""What a run of the boards' tests says at its end."""

from __future__ import annotations

import emulation
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests of two boards begin at once; those that would wait for one of them come last."""
    of = {name: [item for item in items if _board(item) == name] for name in emulation.NAMES}
    slow, *others = sorted(emulation.NAMES, reverse=True)
    rest = [item for item in items if not _board(item)]
    items[:] = [
        *of[slow][-2:],
        *(item for name in others for item in reversed(of[name])),
        *rest,
        *of[slow][:-2],
    ]


def _board(item: pytest.Item) -> str | None:
    """Which board it needs for itself."""
    mark = item.get_closest_marker("board")
    return str(mark.args[0]) if mark else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    properties = [pair for report in calls for pair in report.user_properties]
    for name in ("cuts injected", "violations"):
        if counted := [value for key, value in properties if key == name]:
            terminalreporter.write_line(f"{name}: {sum(counted)}")
