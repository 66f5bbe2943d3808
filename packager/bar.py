"""The bar that long work shows on a terminal: bytes done, rate, and time left."""

from __future__ import annotations

from rich import progress
from rich.console import Console


def bar() -> progress.Progress:
    """A bar on stderr, to be entered; a task of it counts bytes."""
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    return progress.Progress(*columns, console=Console(stderr=True))
