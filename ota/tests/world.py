"""A device, its vendor and a web server in one folder: what end-to-end tests play with.

Images are real ext4 file systems of 16 MiB; slots are files of 24 MiB; packages are made by hand with the
outside programs that SWUpdate's users have: zck, rdiff, openssl, GNU cpio.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ota import cli
from ota.formats import zchunk
from ota.tests.server import Server
from ota.tests.vendor import FindTool, Vendor

IMAGE_SIZE = 16 << 20  # bytes
SLOT_SIZE = 24 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command of `ota` ended."""

    status: int
    answer: Mapping[str, object]
    errors: str  # stderr

    @property
    def code(self) -> str | None:
        """The error's code, if it failed."""
        error = self.answer.get("error")
        return error["code"] if isinstance(error, dict) else None


class World:
    """Everything in `folder`: images/, slots/, publish/, keys, device.toml."""

    def __init__(self, folder: Path, tool: FindTool) -> None:
        self.folder = folder
        self.tool = tool
        self.publish = folder / "publish"
        self.publish.mkdir(parents=True)
        self.v1, self.v2 = folder / "v1.ext4", folder / "v2.ext4"
        self.slot_a, self.slot_b = folder / "slot-a", folder / "slot-b"
        self.environment = folder / "bootenv"
        self.vendor = Vendor(folder, tool)
        self.certificate, self.key = self.vendor.certificate, self.vendor.key
        self._make_images()
        self.reset()
        self.server = Server(folder / "nginx", self.publish, tool("nginx"))
        self.write_config()

    def close(self) -> None:
        self.server.close()

    def reset(self) -> None:
        """The device as it left the factory: v1 in slot a, which runs; nothing known of slot b."""
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        (self.folder / "state").mkdir()
        self.environment.write_text("boot_slot=a\n")
        self.slot_a.write_bytes(self.v1.read_bytes().ljust(SLOT_SIZE, b"\xff"))
        self.slot_b.write_bytes(b"\xff" * SLOT_SIZE)

    def write_config(self, **replaced: str) -> None:
        """device.toml; keyword arguments replace whole lines by their first word."""
        lines = {
            "board": 'board = "demo"',
            "revision": 'revision = "1.0"',
            "state_dir": 'state_dir = "state"',
            "slots": 'slots.a.device = "slot-a"\nslots.b.device = "slot-b"',
            "running": 'running.slot = "a"',
            "boot": 'boot = { environment = "file", path = "bootenv" }',
            "trust": 'trust.certificates = ["signer.pem"]',
            "network": 'network = { ca = "nginx/tls-ca.pem", retries = 1 }',
        }
        (self.folder / "device.toml").write_text("\n".join({**lines, **replaced}.values()) + "\n")

    def ota(self, *arguments: str | Path) -> Outcome:
        """Run one command of the device, in this process."""
        out, errors = io.StringIO(), io.StringIO()
        words = ["--config", str(self.folder / "device.toml"), *map(str, arguments), "--json"]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = cli.main(words)
        return Outcome(status, json.loads(out.getvalue() or "{}"), errors.getvalue())

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Run one command of the device in a process of its own."""
        config = self.folder / "device.toml"
        command: list[str | Path] = [sys.executable, "-m", "ota.cli", "--config", config, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def untouched(self) -> Callable[[], bool]:
        """Remember slots and boot environment; the answer tells whether they still are as they were."""
        before = self._fingerprint()
        return lambda: self._fingerprint() == before

    def holds(self, slot: Path, image: Path) -> bool:
        """Whether a slot starts with an image."""
        return slot.read_bytes()[:IMAGE_SIZE] == image.read_bytes()

    def make_delta(self, image: Path) -> tuple[Path, Path]:
        """Publish an image with zck, once; returns (.zck, header file)."""
        published = self.publish / f"{image.name}.zck"
        header = self.folder / f"{image.name}.zck-header"
        if header.exists():
            return published, header
        self._run("zck", "-u", "--chunk-hash-type", "sha256", "-o", published, image)
        header.write_bytes(zchunk.parse(published.read_bytes()).data)
        return published, header

    def description(self, images: str, mode: str = "copy-b", bootenv: str = "boot_slot=b") -> str:
        """A sw-description with one mode."""
        name, _, value = bootenv.partition("=")
        return (
            'software = { version = "2.0"; hardware-compatibility: [ "1.0" ]; stable = { '
            f"{mode} = {{ images: ( {images} ); "
            f'bootenv: ( {{ name = "{name}"; value = "{value}"; }} ); }}; }}; }}\n'
        )

    def raw_entry(self, image: Path) -> str:
        """An image that is installed as it is."""
        return (
            f'{{ filename = "{image.name}"; type = "raw"; device = "/dev/mmcblk0p3"; '
            f'sha256 = "{sha256(image)}"; }}'
        )

    def make_delta_package(self, image: Path, url: str = "", source: str = "/dev/mmcblk0p2") -> Path:
        """A package that updates slot b by a zchunk header; `url` of the .zck, by default on our server."""
        published, header = self.make_delta(image)
        entry = (
            f'{{ filename = "{header.name}"; type = "delta"; device = "/dev/mmcblk0p3"; '
            f'sha256 = "{sha256(header)}"; properties: {{ url = "{url or self.url_of(published)}"; '
            f'chain = "raw"; source = "{source}"; }}; }}'
        )
        return self.make_package(self.description(entry), header, name=f"{image.name}.swu")

    def url_of(self, published: Path) -> str:
        """On our server, over TLS."""
        return f"{self.server.url}/{published.name}"

    def make_package(self, description: str, *members: Path, name: str = "update.swu") -> Path:
        """Sign with openssl, pack with GNU cpio, as SWUpdate's documentation says."""
        contents = {member.name: member.read_bytes() for member in members}
        return self.vendor.pack(description, contents, self.folder / name)

    def _make_images(self) -> None:
        """Two file systems: files that stay, files that change, some that are new."""
        tree = self.folder / "tree"
        tree.mkdir()
        noise = random.Random(1)
        for number in range(12):
            (tree / f"file{number}").write_bytes(noise.randbytes(600_000))
        self._make_image(tree, self.v1)
        (tree / "file3").write_bytes(noise.randbytes(600_000))
        changed = bytearray((tree / "file5").read_bytes())
        changed[1000:1100] = bytes(100)
        (tree / "file5").write_bytes(changed)
        (tree / "file99").write_text("new and compressible\n" * 20_000)
        self._make_image(tree, self.v2)

    def _make_image(self, tree: Path, image: Path) -> None:
        self._run("mke2fs", "-q", "-t", "ext4", "-d", tree, image, f"{IMAGE_SIZE >> 10}k")

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run([self.tool(program), *arguments], check=True, capture_output=True)

    def _fingerprint(self) -> list[str]:
        paths = (self.slot_a, self.slot_b, self.environment)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def sha256(path: Path) -> str:
    """Hex, for descriptions."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
