"""A vendor, a web server and a device in one folder, all real: what demo and benches share."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # run from a checkout, as `make` does

from ota.tests.server import Server
from packager import keys

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / "build"
PROGRAMS: Final = Path(sys.executable).parent  # where `ota` and `otapack` were installed

SERVERS: Final = "servers.json"  # in the state folder

DEVICE_TOML: Final = """board = "board.toml"
revision = "1.0"
state_dir = "state"
[running]
slot = "a"
[boot]
environment = "file"
path = "bootenv"
[trust]
certificates = ["keys/dev.pem"]
[network]
ca = "servers.pem"
"""

BOARD_TOML: Final = """name = "demo"
revisions = ["1.0"]
set = "stable"
[slots.a]
device = "{a}"
mode = "copy-a"
bootenv = {{ boot_slot = "a" }}
[slots.b]
device = "{b}"
mode = "copy-b"
bootenv = {{ boot_slot = "b" }}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A program that ended, and what it took with all that it started."""

    status: int
    output: str
    errors: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int  # of the largest process

    @property
    def answer(self) -> dict[str, object]:
        """Its `--json` object."""
        answer: dict[str, object] = json.loads(self.output)
        return answer


def tool(name: str) -> Path:
    """An outside program, from build/tools/bin or PATH."""
    private = BUILD / "tools/bin" / name
    found = private if private.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not there: run this through make")
    return Path(found)


# Starts the program from a small process: the peak memory of a program counts that of who started it
# (execve(2) keeps ru_maxrss), and this process is larger than some that it measures.
_LAUNCHER: Final = """
import os, sys
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
figures = (os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
os.write(int(sys.argv[1]), b"%d %f %d" % figures)
"""


def run(*command: str | Path, shown: bool = False) -> Run:
    """Run a program to its end; with `shown`, its progress goes to our stderr."""
    with (
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
        tempfile.TemporaryFile("w+") as report,
    ):
        words = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(report.fileno()), *map(str, command)]
        start = time.monotonic()
        subprocess.run(
            words,
            stdout=output,
            stderr=None if shown else errors,
            pass_fds=[report.fileno()],
            check=True,
        )
        wall_s = time.monotonic() - start
        for file in (output, errors, report):
            file.seek(0)
        status, cpu_s, peak = report.read().split()
        return Run(int(status), output.read(), errors.read(), wall_s, float(cpu_s), int(peak) * 1024)


class Lab:
    """One device with two slots as large as an image, and the vendor that updates it.

    Args:
        folder: emptied first.
        slot_size: bytes.
    """

    def __init__(self, folder: Path, slot_size: int) -> None:
        # As on a device, where installing a wheel does it: Python need not compile what it loads.
        for package in ("ota", "handlers", "boards"):
            compileall.compile_dir(ROOT / package, quiet=2)
        shutil.rmtree(folder, ignore_errors=True)
        self.publish = folder / "publish"
        self.publish.mkdir(parents=True)
        self.folder = folder
        self.files = [folder / "slot-a.img", folder / "slot-b.img"]
        for file in self.files:
            file.touch()
            os.truncate(file, slot_size)
        self.slots = self.files
        self.server = Server(folder / "nginx", self.publish, tool("nginx"))
        (folder / "device.toml").write_text(DEVICE_TOML)
        self.trust(self.server.ca)
        keys.development(folder / "keys")  # before two builds at once want them

    @contextmanager
    def running(self) -> Iterator[None]:
        """Slots are loop devices where we may make some, else files; the board file says which."""
        loops = [_attach(file) for file in self.files] if os.geteuid() == 0 else []
        self.slots = loops or self.files
        board = BOARD_TOML.format(a=self.slots[0], b=self.slots[1])
        (self.folder / "board.toml").write_text(board)
        try:
            yield
        finally:
            for loop in loops:
                subprocess.run(["losetup", "-d", loop], check=True)
            self.server.close()

    def fill(self, slot: int, image: Path) -> None:
        """Write an image into a slot, as a factory does."""
        with image.open("rb") as source, self.slots[slot].open("r+b") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())

    def empty(self, slot: int) -> None:
        """Fill a slot with zeros, and leave nothing to be written behind the back of what is timed next."""
        with self.slots[slot].open("r+b") as target:
            for _ in range(self.files[slot].stat().st_size >> 20):
                target.write(bytes(1 << 20))
            os.fsync(target.fileno())

    def trust(self, *authorities: Path) -> None:
        """Whose certificates the device takes from web servers."""
        (self.folder / "servers.pem").write_text("".join(path.read_text() for path in authorities))

    def forget(self) -> None:
        """What the device knows of its slots is gone, and it boots slot a; it still knows the servers."""
        for path in (self.folder / "state").glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != SERVERS:
                path.unlink()
        (self.folder / "bootenv").write_text("boot_slot=a\n")

    def forget_servers(self) -> None:
        """What the device knows of web servers is gone."""
        (self.folder / "state" / SERVERS).unlink(missing_ok=True)

    def write_release(self, version: str, image: Path, rest: str = 'type = "delta"') -> Path:
        """A release file; `rest` says how the image travels."""
        release = self.folder / f"release-{version}.toml"
        release.write_text(
            f'version = "{version}"\nname = "demo"\nboard = "board.toml"\n'
            f'[[image]]\nname = "rootfs"\nfile = "{image.resolve()}"\n{rest}\n'
            + (f'url = "{self.server.url}/"\n' if "delta" in rest else "")
        )
        return release

    def build(self, version: str, image: Path, rest: str = 'type = "delta"') -> Path:
        """`otapack build`, publish what is to be published; returns the package."""
        out = self.folder / f"out-{version}"
        release = self.write_release(version, image, rest)
        keys = self.folder / "keys"
        done = run(PROGRAMS / "otapack", "build", "-q", "--json", release, "-o", out, "--dev-keys", keys)
        if done.status:
            raise SystemExit(done.errors)
        for published in (out / "publish").glob("*"):
            os.link(published, self.publish / published.name)
        return out / f"demo-{version}.swu"

    def ota(self, *words: str | Path, shown: bool = False) -> Run:
        """`ota` with this device's configuration, answering in JSON."""
        style = "auto" if shown else "none"
        config = self.folder / "device.toml"
        verb, *rest = words
        return run(
            PROGRAMS / "ota", "--config", config, verb, "--json", "--progress", style, *rest, shown=shown
        )

    def install(self, package: Path) -> Run:
        """`ota install`; ends this program where it fails."""
        done = self.ota("install", package)
        if done.status:
            raise SystemExit(done.errors)
        return done

    def adopt(self, published: Path) -> None:
        """Tell the device what its slot a holds; ends this program where that is wrong."""
        done = self.ota("adopt", "a", published)
        if done.status:
            raise SystemExit(done.errors)


def same_start(slot: Path, image: Path) -> bool:
    """Whether a slot starts with an image."""
    with slot.open("rb") as left, image.open("rb") as right:
        return all(block == left.read(len(block)) for block in iter(lambda: right.read(1 << 20), b""))


def say(text: str) -> None:
    """What a long measurement is doing."""
    print(text, file=sys.stderr, flush=True)


def megabytes(value: object) -> str:
    """Bytes as MB (10^6)."""
    assert isinstance(value, int | float)
    return f"{value / 1e6:,.1f} MB"


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for people, on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def _attach(file: Path) -> Path:
    done = subprocess.run(["losetup", "-f", "--show", file], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())
