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
from ota.tests.devices import Snapshot, Template
from ota.tests.media import make_programs
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
            done = device.run([*command, *case.options, "-i", "update.swu"], {}, TIMEOUT_S)
            log = done.out + done.log
            outcomes = {None: Stock.HANGS, 139: Stock.CRASHES, 0: Stock.INSTALLED, 1: Stock.REFUSED}
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
            done = device.run([*command, *case.options, "update.swu"], environment, TIMEOUT_S)
            assert done.status is not None, f"ota hangs:\n{done.log}"
            answer = json.loads(done.out) if done.out else {}
            code = answer.get("error", {}).get("code")
            assert (code is None) == (done.status == 0), f"ota ends with {done.status}:\n{done.log}"
            return End(Stock.REFUSED if code else Stock.INSTALLED, code, done.log, device.look(began))

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
