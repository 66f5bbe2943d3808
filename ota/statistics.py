"""What an operation took: the object that every `--json` answer about an update ends with."""

from __future__ import annotations

import re
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ota.interfaces import Cost


@dataclass(frozen=True, slots=True)
class Resources:
    """Time and memory of this process."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


class Meter:
    """Measures from its making on; the peak is the process's own, from its start."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._cpu = _cpu_s()

    def read(self) -> Resources:
        return Resources(
            wall_s=round(time.monotonic() - self._wall, 3),
            cpu_s=round(_cpu_s() - self._cpu, 3),
            peak_rss_bytes=_peak_rss(),
        )


def to_json(cost: Cost, resources: Resources) -> dict[str, int | float]:
    """The keys of the command line's contract."""
    return {**asdict(cost), **asdict(resources)}


def _cpu_s() -> float:
    """Processor time of this process and of the programs it ran, seconds."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_rss() -> int:
    """Bytes; getrusage would count the memory that our parent had when it started us (execve(2))."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024
