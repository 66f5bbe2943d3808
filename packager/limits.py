"""What devices can take, and what a release may cost them: `[device]` and `[budget]` of a release file."""

from __future__ import annotations

from dataclasses import dataclass

from ota.settings import Table


@dataclass(frozen=True, slots=True)
class Limits:
    """None: nothing is said."""

    memory: int | None = None  # bytes that one method may take
    has_spare_space: bool = True  # to keep an rdiff delta while it is fetched
    max_bytes: int | None = None  # that devices with any one base may download, the package included


def read(device: Table, budget: Table) -> Limits:
    """`memory`, `spare-space`; `max-bytes`."""
    limits = Limits(
        device.optional_size("memory"), device.flag("spare-space", True), budget.optional_size("max-bytes")
    )
    device.done()
    budget.done()
    return limits
