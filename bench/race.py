"""The same package over the same slow line, ours and stock, from a server that knows single ranges only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lab
import packages
import peer
from figures import Figure
from lab import Lab, Run, megabytes
from links import Reset

from ota.tests.link import Counts, Link
from ota.tests.server import Server, free_ports

LINE: Final = (100e6, 200)  # bit/s, ms
MIN_SPEEDUP: Final = 20.0


@dataclass(frozen=True, slots=True)
class Race:
    """One package over one line to a server that knows single ranges only, ours and stock."""

    case: str
    ours: Run
    stock: Run
    ours_line: Counts
    stock_line: Counts


def measure(device: Lab, header: bytes, name: str, folder: Path, reset: Reset) -> Race:
    """Without TLS: stock opens a connection for every chunk, and would pay one more round trip each time."""
    rate, rtt_ms = LINE
    (link_port,) = free_ports(1)
    url = f"http://127.0.0.1:{link_port}/rootfs-{name}.zck"
    package = packages.pack(device, f"{name}-single", header, url, max_ranges="1")
    with Server(folder, device.publish, lab.tool("nginx"), "max_ranges 1;") as server:
        with Link(server.plain_port, port=link_port):
            reset()
            device.install(package)  # it gets to know the server
        with Link(server.plain_port, rtt_ms=rtt_ms, rate=rate, port=link_port) as link:
            lab.say("engine: ours, single ranges")
            reset()
            ours = device.install(package)
            ours_line = link.counts()
            reset()
            lab.say("engine: stock, single ranges: some minutes")
            stock = peer.install(device, package)
            stock_line = link.counts() - ours_line
    case = f"single ranges, {rate / 1e6:.0f} Mbit/s, {rtt_ms} ms"
    return Race(case, ours, stock, ours_line, stock_line)


def figures(found: Race) -> list[Figure]:
    """How often ours is done before stock is."""
    faster = round(found.stock.wall_s / found.ours.wall_s, 1)
    return [Figure(found.case, "speedup_to_stock", faster, MIN_SPEEDUP, "higher")]


def print_runs(found: Race) -> None:
    head = [found.case, "down", "connections", "CPU", "wall"]
    runs = (("ota", found.ours, found.ours_line), (peer.STOCK, found.stock, found.stock_line))
    rows = [
        [
            program,
            megabytes(line.down),
            str(line.connections),
            f"{run.cpu_s:.1f} s",
            f"{run.wall_s:.1f} s",
        ]
        for program, run, line in runs
    ]
    lab.print_table("The same package, where a server knows single ranges only", head, rows)
