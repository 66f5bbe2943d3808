"""What a run of the boards' tests says at its end."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that belong to one board come one after the other, and so begin first."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    properties = [pair for report in calls for pair in report.user_properties]
    for name in ("cuts injected", "violations"):
        if counted := [value for key, value in properties if key == name]:
            terminalreporter.write_line(f"{name}: {sum(counted)}")
