"""Two devices that are equal to the last byte: stock SWUpdate works on one, ours on the other.

They are used one after the other. Each program runs in a sandbox where /dev/mmcblk0, /mnt and /srv are its
own device's, so one sw-description means the same for both.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.tests.conformance.case import Case, Environment, Stock, whole
from ota.tests.devices import Device, Snapshot, Template
from ota.tests.media import make_programs
from ota.tests.sandbox import HOME
from ota.tests.vendor import FindTool, Vendor

ROOT: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 20
SWUPDATE: Final = "swupdate-2024.12"

_BOARD: Final = """\
name = "demo"
revisions = ["1.0"]
set = "stable"
slots.a = { device = "/dev/mmcblk0p2", mode = "copy-a", bootenv = { boot_slot = "a" } }
slots.b = { device = "/dev/mmcblk0p3", mode = "copy-b", bootenv = { boot_slot = "b" } }
"""

_INSTALLED: Final = "SWUPDATE successful !"
_FAILED: Final = "SWUpdate *failed* !"
_STARTED: Final = "Software Update started !"


@dataclass(frozen=True, slots=True)
class End:
    """How one program fared."""

    stock: Stock
    code: str | None  # ours
    log: str
    left: Snapshot


class Twins:
    """Makes packages and pairs of equal devices.

    Args:
        folder: for everything.
    """

    def __init__(self, folder: Path, tool: FindTool) -> None:
        self._folder = folder
        self._tool = tool
        self._vendor = Vendor(folder, tool)
        files = {"signer.pem": self._vendor.certificate.read_bytes(), "board.toml": _BOARD.encode()}
        self._template = Template(folder / "template", files)

    def package(self, case: Case, text: str) -> Path:
        """A package as the row describes it, with this sw-description."""
        path = self._folder / "update.swu"
        if case.generator:
            return self._generate(case, text, path)
        if case.delta is not None:
            members = {"a": self._publish(case.delta)}
            return self._vendor.pack(with_digests(whole(text), members), members, path)
        return self._vendor.pack(with_digests(whole(text), case.members), case.members, path)

    def before(self, case: Case) -> Snapshot:
        """What both devices hold at first."""
        with self._template.device(case) as device:
            return device.look(time.time())

    def run_stock(self, case: Case, package: Path) -> End:
        """Install with the real SWUpdate."""
        command: list[str | Path] = [self._tool(SWUPDATE), "-v", "-f", "swupdate.cfg"]
        command += ["-k", "signer.pem", "-H", "demo:1.0"]
        command += [] if case.environment is Environment.NONE else ["-B", "uboot"]
        command += ["-K", "aes.key"] if case.key else []
        with self._template.device(case) as device:
            shutil.copy(package, device.folder / "update.swu")
            (device.folder / "swupdate.cfg").write_text(_stock_config(case))
            began = time.time()
            served = self._serve(case, device)
            done = device.run([*served, *command, *case.options, "-i", "update.swu"], {}, TIMEOUT_S)
            log = done.out + done.log
            # After some failures it frees twice what it gave up, and sometimes that is noticed.
            aborted = Stock.REFUSED if _FAILED in log else Stock.CRASHES
            outcomes = {
                None: Stock.HANGS,
                134: aborted,
                139: Stock.CRASHES,
                0: Stock.INSTALLED,
                1: Stock.REFUSED,
            }
            outcome = outcomes[done.status]
            assert (outcome is Stock.INSTALLED) == (_INSTALLED in log) and _STARTED in log, log
            return End(outcome, None, log, device.look(began))

    def run_ours(self, case: Case, package: Path) -> End:
        """Install with `ota install`."""
        command = [sys.executable, "-m", "ota.cli", "--config", "device.toml", "install", "--json"]
        environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        with self._template.device(case) as device:
            if case.environment is Environment.NAMESPACES:
                programs = make_programs(device.folder / "programs", self._tool)
                environment["PATH"] = f"/srv/{programs.name}:{os.environ['PATH']}"
            shutil.copy(package, device.folder / "update.swu")
            (device.folder / "device.toml").write_text(_our_config(case))
            began = time.time()
            served = self._serve(case, device)
            done = device.run([*served, *command, *case.options, "update.swu"], environment, TIMEOUT_S)
            assert done.status is not None, f"ota hangs:\n{done.log}"
            answer = json.loads(done.out) if done.out else {}
            code = answer.get("error", {}).get("code")
            assert (code is None) == (done.status == 0), f"ota ends with {done.status}:\n{done.log}"
            return End(Stock.REFUSED if code else Stock.INSTALLED, code, done.log, device.look(began))

    def _publish(self, image: bytes) -> bytes:
        """Make a .zck; returns its header, cut off as SWUpdate's documentation does it."""
        plain, published = self._folder / "new.img", self._folder / "new.zck"
        plain.write_bytes(image)
        make: list[str | Path] = [self._tool("zck"), "-u", "--chunk-hash-type", "sha256"]
        subprocess.run([*make, "-o", published, plain], check=True, capture_output=True)
        about: list[str | Path] = [self._tool("zck_read_header"), "-v", published]
        said = subprocess.run(about, check=True, capture_output=True, text=True).stdout
        size = re.search(r"Header size: ([0-9]+)", said)
        assert size, said
        return published.read_bytes()[: int(size[1])]

    def _serve(self, case: Case, device: Device) -> list[str | Path]:
        """What goes before a command, so that the row's .zck can be had."""
        if case.delta is None:
            return []
        (device.folder / "publish").mkdir()
        shutil.copy(self._folder / "new.zck", device.folder / "publish")
        return [sys.executable, ROOT / "ota/tests/serving.py", self._tool("nginx"), HOME]

    def _generate(self, case: Case, text: str, package: Path) -> Path:
        artifacts = self._folder / "artifacts"
        shutil.rmtree(artifacts, ignore_errors=True)
        artifacts.mkdir()
        template = artifacts / "sw-description.in"
        template.write_text(whole(text))
        for name, data in case.members.items():
            (artifacts / name).write_bytes(data)
        sign = f"CMS,{self._vendor.key},{self._vendor.certificate}"
        command: list[str | Path] = [sys.executable, "-m", "swugenerator.main", "-s", template, "-k", sign]
        command += ["-a", artifacts, "-o", package, "create"]
        subprocess.run(command, check=True, capture_output=True)
        return package


def with_digests(text: str, members: Mapping[str, bytes]) -> str:
    """The text with `"@NAME"` replaced by the digest of that member."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    return re.sub(r'"@([^"]+)"', lambda found: f'"{digests[found[1]]}"', text)


def _stock_config(case: Case) -> str:
    pairs = ", ".join(f'{{ name = "{name}"; version = "{v}"; }}' for name, v in case.installed.items())
    versions = f"versions: ( {pairs} );\n" if pairs else ""
    space = 'namespace-vars = "app"; ' if case.environment is Environment.NAMESPACES else ""
    return f'globals: {{ fwenv-config-location = "/srv/fw_env.config"; {space}}};\n{versions}'


def _our_config(case: Case) -> str:
    file = case.environment is Environment.NONE
    lines = [
        'board = "board.toml"',
        'revision = "1.0"',
        'state_dir = "state"',
        'running.slot = "a"',
        'boot = { environment = "file", path = "bootenv" }' if file else 'boot.path = "fw_env.config"',
        'trust.certificates = ["signer.pem"]',
    ]
    if not file:
        space = ', namespace = "app"' if case.environment is Environment.NAMESPACES else ""
        lines.append(f'vars = {{ environment = "uboot", path = "fw_env.config"{space} }}')
    lines += ['versions.installed = "sw-versions"'] if case.installed else []
    lines += ['decrypt.key = "aes.key"'] if case.key else []
    return "\n".join(lines) + "\n"
