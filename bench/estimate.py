"""What `otapack estimate` foresees and what a device then fetches, to the byte.

    make bench BENCH=estimate                         # the table
    make bench BENCH=estimate ARGS="--kinds squashfs" # a part of it

Releases v1, v2 and v3 are built one after the other, each with all earlier ones as bases and every method
allowed. For each pair the device holds the old release in slot a, and nothing in slot b. It installs the one
package twice: with its usual memory, so that it takes what is chosen, and with too little for a decoder, so
that it takes zchunk. Bytes are those of its own log and of the web server's. `otapack estimate --built` has
nothing but manifests of the bases; its time is that of the whole program.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import figures
import lab
from figures import Figure
from lab import Lab, Run, megabytes

IMAGES: Final = lab.BUILD / "images/bench"
KINDS: Final = ("ext4", "squashfs", "erofs")
VERSIONS: Final = ("v1", "v2", "v3")
PAIRS: Final = (("v1", "v2"), ("v2", "v3"), ("v1", "v3"))

USUAL: Final = "48M"  # of memory, the default of devices
LITTLE: Final = "32M"

MAX_ESTIMATE_S: Final = 1.0
MAX_RSS: Final = 64e6  # bytes

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One installation, and what was foreseen."""

    kind: str
    pair: str
    method: str
    foreseen: Json  # a row of `otapack estimate`
    fetched: int  # bytes, as the device logs it
    served: int  # bytes that it asked the server for
    requests: int
    run: Run

    @property
    def is_as_foreseen(self) -> bool:
        """To the byte."""
        return self.fetched == self.served == self.foreseen["fetched_bytes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line a figure")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    rows: list[Row] = []
    found: list[Figure] = []
    for kind in options.kinds:
        device = Lab(lab.BUILD / "bench-estimate", (IMAGES / f"v1.{kind}").stat().st_size + (64 << 20))
        with device.running():
            measured, seconds = measure(device, kind)
        rows += measured
        found.append(Figure(kind, "estimate_cpu_s", round(seconds, 2), MAX_ESTIMATE_S))
    found += evaluate(rows)
    if options.json:
        figures.print_json("estimate", found)
    else:
        print_rows(rows)
        figures.print_text(found)
    if not all(row.is_as_foreseen for row in rows):
        sys.exit("a device fetched other bytes than otapack estimate foresaw")


def measure(device: Lab, kind: str) -> tuple[list[Row], float]:
    """All installations, and the CPU seconds that the longest estimate took."""
    rows: list[Row] = []
    seconds = 0.0
    packages = {}
    tables = {}
    for number, version in enumerate(VERSIONS):
        lab.say(f"{kind}: building {version}")
        packages[version] = build(device, version, kind, VERSIONS[:number])
        tables[version], taken = estimate(device, version)
        seconds = max(seconds, taken)
    for old, new in PAIRS:
        lab.say(f"{kind}: {old} -> {new}")
        of_base = [row for row in tables[new] if row["base"] == old]
        chosen = next(row for row in of_base if row["chosen"])
        zchunk = next(row for row in of_base if row["method"] == "zchunk")
        rows.append(install(device, kind, (old, new), packages[new], chosen, USUAL))
        if chosen["method"] != "zchunk":
            rows.append(install(device, kind, (old, new), packages[new], zchunk, LITTLE))
    return rows, seconds


def build(device: Lab, version: str, kind: str, earlier: Sequence[str]) -> Path:
    release = device.folder / f"{version}.toml"
    bases = (f'[[base]]\nversion = "{name}"\nfolder = "out-{name}"\n' for name in reversed(earlier))
    release.write_text(
        f'version = "{version}"\nname = "demo"\nboard = "board.toml"\n[device]\nmemory = "{USUAL}"\n'
        f'{"".join(bases)}[[image]]\nname = "rootfs"\nfile = "{(IMAGES / f"{version}.{kind}").resolve()}"\n'
        f'type = "delta"\nmethods = ["zchunk", "rdiff", "full"]\nurl = "{device.server.url}/"\n'
    )
    out = device.folder / f"out-{version}"
    otapack("build", "-q", "--json", release, "-o", out, "--dev-keys", device.folder / "keys")
    for published in (out / "publish").glob("*"):
        os.link(published, device.publish / published.name)
    return out / f"demo-{version}.swu"


def estimate(device: Lab, version: str) -> tuple[Sequence[Json], float]:
    """Its rows, and the CPU seconds that they took."""
    words = ("estimate", "-q", "--json", device.folder / f"{version}.toml")
    done = otapack(*words, "--built", device.folder / f"out-{version}", "--link", "10Mbit,100ms")
    rows: Any = done.answer["rows"]  # Any: JSON
    return rows, done.cpu_s


def otapack(*words: str | Path) -> Run:
    done = lab.run(lab.PROGRAMS / "otapack", *words)
    if done.status:
        raise SystemExit(done.errors)
    return done


def install(device: Lab, kind: str, pair: tuple[str, str], package: Path, foreseen: Json, memory: str) -> Row:
    old, new = pair
    device.forget()
    device.fill(0, IMAGES / f"{old}.{kind}")
    device.empty(1)
    limit(device, memory)
    device.adopt(device.publish / f"rootfs-{old}.zck")
    before = len(device.server.requests())
    done = device.install(package)
    if not lab.same_start(device.slots[1], IMAGES / f"{new}.{kind}"):
        sys.exit(f"slot b is not {new}")
    answer: Any = done.answer  # Any: JSON
    (method,) = answer["methods"].values()
    if method != foreseen["method"]:
        sys.exit(f"the device took {method}, not {foreseen['method']}: {done.errors}")
    served = sum(request.range_bytes for request in device.server.requests()[before:])
    return Row(
        kind, f"{old} -> {new}", method, foreseen, answer["fetched_bytes"], served, answer["requests"], done
    )


def limit(device: Lab, memory: str) -> None:
    """Of the device's agent."""
    file = device.folder / "device.toml"
    text = file.read_text().partition("[limits]")[0]
    file.write_text(f'{text}[limits]\nmemory = "{memory}"\n')


def evaluate(rows: Sequence[Row]) -> Iterator[Figure]:
    for row in rows:
        case = f"{row.kind} {row.pair} {row.method}"
        yield Figure(case, "fetched_bytes", row.fetched, row.foreseen["fetched_bytes"])
        yield Figure(case, "requests", row.requests, row.foreseen["requests"])
        yield Figure(case, "peak_rss_bytes", row.run.peak_rss_bytes, MAX_RSS)


def print_rows(rows: Sequence[Row]) -> None:
    head = ["image", "update", "method", "foreseen", "fetched", "share", "10 Mbit/s", "memory", "CPU"]
    lines = [
        [
            row.kind,
            row.pair,
            row.method,
            f"{row.foreseen['fetched_bytes']:,}",
            f"{row.fetched:,}" if row.is_as_foreseen else f"{row.fetched:,} (!)",
            f"{row.foreseen['share']:.2%}",
            f"{row.foreseen['seconds']:,.0f} s",
            megabytes(row.run.peak_rss_bytes),
            f"{row.run.cpu_s:.1f} s",
        ]
        for row in rows
    ]
    lab.print_table("What is foreseen, and what a device then fetches (bytes)", head, lines)


if __name__ == "__main__":
    main()
