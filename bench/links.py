"""The same update over slow lines: a web server that knows several ranges, an object store that knows one.

Lines are simulated (ota/tests/link.py): one rate for all connections, one round trip for whatever needs an
answer. The bound of a cell is what the bytes take on that line and the installation takes without one, and
five round trips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lab
import packages
from figures import Figure
from lab import Lab, Run, megabytes

from ota.tests.link import Counts, Link
from ota.tests.server import free_ports
from ota.tests.stores import Weed

RATES: Final = (10e6, 100e6)  # bit/s
ROUND_TRIPS_MS: Final = (20, 200, 600)
FIRST_CONTACT_MS: Final = 200

OVERHEAD: Final = 1.1  # of bytes and work
MAX_ROUND_TRIPS: Final = 5

Reset = Callable[[], None]
"""Makes the device ready for the update; what it knows of servers stays."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and the same update as it is published there."""

    name: str
    port: int
    direct: Path  # the package whose chunks come straight from the server
    through: Path  # ... from `link_port`
    link_port: int  # the same for all lines: it is one server to the device


@dataclass(frozen=True, slots=True)
class Cell:
    """One installation over one line."""

    server: str
    is_known: bool  # to the device, from an earlier update
    rate: float  # bit/s
    rtt_ms: int
    run: Run
    line: Counts
    local_s: float  # what it takes without a line

    @property
    def case(self) -> str:
        return f"{self.server}, {self.rate / 1e6:.0f} Mbit/s, {self.rtt_ms} ms"

    @property
    def bound_s(self) -> float:
        fetched = self.run.answer["fetched_bytes"]
        assert isinstance(fetched, int)
        return OVERHEAD * (fetched * 8 / self.rate + self.local_s) + MAX_ROUND_TRIPS * self.rtt_ms / 1e3

    @property
    def to_bound(self) -> float:
        return round(self.run.wall_s / self.bound_s, 3)


@contextmanager
def places(device: Lab, name: str, header: bytes, folder: Path) -> Iterator[list[Place]]:
    """nginx, which serves the lab's folder anyway, and SeaweedFS, started for this."""
    published = device.publish / f"rootfs-{name}.zck"
    link_ports = free_ports(2)

    def place(server: str, port: int, link_port: int, url: Callable[[int], str]) -> Place:
        direct, through = (
            packages.pack(device, f"{name}-{server}-{at}", header, url(at)) for at in (port, link_port)
        )
        return Place(server, port, direct, through, link_port)

    with Weed(folder) as weed:
        weed.store.put(published)
        device.trust(device.server.ca, weed.ca)
        yield [
            place(
                "nginx",
                device.server.port,
                link_ports[0],
                lambda port: f"https://localhost:{port}/{published.name}",
            ),
            place(
                "SeaweedFS",
                weed.port,
                link_ports[1],
                lambda port: weed.store.presign(published.name, port=port),
            ),
        ]


def measure(device: Lab, place: Place, reset: Reset) -> list[Cell]:
    """First contact, then every line."""
    local_s = min(_local(device, place, reset) for _ in range(2))

    def cell(rate: float, rtt_ms: int, is_known: bool = True) -> Cell:
        lab.say(f"engine: {place.name}, {rate / 1e6:.0f} Mbit/s, {rtt_ms} ms")
        with Link(place.port, rtt_ms=rtt_ms, rate=rate, port=place.link_port) as link:
            reset()
            done = device.install(place.through)
            return Cell(place.name, is_known, rate, rtt_ms, done, link.counts(), local_s)

    device.forget_servers()
    first = cell(RATES[-1], FIRST_CONTACT_MS, is_known=False)
    return [first, *(cell(rate, rtt_ms) for rate in RATES for rtt_ms in ROUND_TRIPS_MS)]


def _local(device: Lab, place: Place, reset: Reset) -> float:
    """Seconds that it takes without a line."""
    reset()
    return device.install(place.direct).wall_s


def figures(cells: list[Cell]) -> list[Figure]:
    """Of lines to servers that the device knows."""
    return [Figure(cell.case, "wall_to_bound", cell.to_bound, 1.0) for cell in cells if cell.is_known]


def print_cells(cells: list[Cell]) -> None:
    head = ["server", "rate", "RTT", "fetched", "requests", "conn.", "wall", "bound", "ratio"]
    rows = [
        [
            cell.server + ("" if cell.is_known else ", first contact"),
            f"{cell.rate / 1e6:.0f} Mbit/s",
            f"{cell.rtt_ms} ms",
            megabytes(cell.run.answer["fetched_bytes"]),
            str(cell.run.answer["requests"]),
            str(cell.line.connections),
            f"{cell.run.wall_s:.1f} s",
            f"{cell.bound_s:.1f} s",
            f"{cell.to_bound:.2f}",
        ]
        for cell in cells
    ]
    lab.print_table("The same update (v2 -> v3) over slow lines", head, rows)
