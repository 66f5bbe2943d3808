"""What devices can take, and what a release may cost them: `[device]` and `[budget]` of a release file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ota.settings import Table

MEMORY: Final = 48 << 20  # bytes; the default of devices' configuration


@dataclass(frozen=True, slots=True)
class Limits:
    """None: there is none."""

    memory: int = MEMORY  # bytes of the whole agent on the device: its `limits.memory`
    has_spare_space: bool = True  # to keep an rdiff delta while it is fetched
    max_bytes: int | None = None  # that devices with any one base may download, the package included


def read(device: Table, budget: Table) -> Limits:
    """`memory`, `spare-space`; `max-bytes`."""
    limits = Limits(
        device.size("memory", f"{MEMORY >> 20}M"),
        device.flag("spare-space", True),
        budget.optional_size("max-bytes"),
    )
    device.done()
    budget.done()
    return limits
