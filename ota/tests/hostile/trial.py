"""Hostile packages on devices of their own, where nothing but those can come to harm.

Whatever a program starts, mounts or attaches ends with its sandbox; here it is counted before that.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.tests.archives import archive
from ota.tests.conformance import case as conformance
from ota.tests.devices import Device, Snapshot, Template
from ota.tests.hostile.case import Case
from ota.tests.twins import with_digests
from ota.tests.vendor import FindTool, Vendor

ROOT: Final = Path(__file__).parents[3]
STOCK_S: Final = 20  # for a package of some KiB
OURS_S: Final = 30  # beside whatever else the machine does
_LIMITS: Final = "ulimit -f 131072; ulimit -v 4194304"  # 64 MiB a file, 4 GiB of address space
SWUPDATE: Final = "swupdate-2024.12"
SCRIPT_S: Final = 1

# Arguments: what prepares the device, then the command. What is left behind is told on /srv/left: processes
# but for the first, this one and the dead, mounts and loop devices.
_COUNTED: Final = f"""
eval "$1"; shift
look() {{ cut -d" " -f5 /proc/self/mountinfo; cat /sys/block/loop*/loop/backing_file | grep ^/srv; }}
look > /srv/before
({_LIMITS}; trap "" XFSZ; exec "$@")
status=$?
look | diff /srv/before - | grep "^>" > /srv/left
rm /srv/before
for process in /proc/[0-9]*; do
    [ $process = /proc/1 ] || [ $process = /proc/$$ ] || ! grep -q "^State:.[^Z]" $process/status ||
    tr "\\0" " " < $process/cmdline >> /srv/left
done 2>/dev/null
exit $status
"""

_OURS: Final = """\
board = "demo"
revision = "1.0"
state_dir = "state"
running.slot = "a"
boot = { environment = "uboot", path = "fw_env.config" }
trust.certificates = ["signer.pem"]
network.retries = 1
"""
_STOCK: Final = """\
globals: { fwenv-config-location = "/srv/fw_env.config"; };
delta: { nocheckcert = false; retry = 1; retrywait = 1; };
"""
# Files that the agent keeps: what it did, what slots hold, what seeds hold.
_KEPT: Final = ("lock", "last.json", "slots", "seeds")


@dataclass(frozen=True, slots=True)
class End:
    """How a program fared."""

    status: int | None  # None: it did not end
    code: str | None  # of our refusal
    log: str
    held: Snapshot  # by the device, afterwards
    left: str  # behind: processes, mounts, loop devices, files


class Trial:
    """Makes packages, and installs each on a fresh device.

    Args:
        folder: for everything.
    """

    def __init__(self, folder: Path, tool: FindTool) -> None:
        self._folder = folder
        self._tool = tool
        self._vendor = Vendor(folder, tool)
        self._template = Template(
            folder / "template", {"signer.pem": self._vendor.certificate.read_bytes(), "secret": b"kept\n"}
        )
        _make_others(folder / "template/device/target")

    def package(self, case: Case) -> Path:
        """A signed one."""
        made = case.make()
        text = with_digests(conformance.whole(made.text), made.members).encode("utf-8", "surrogateescape")
        files = {"sw-description": text, "sw-description.sig": self._vendor.sign(text), **made.members}
        path = self._folder / "update.swu"
        path.write_bytes(archive(files))
        return path

    def before(self) -> Snapshot:
        """What every device holds at first."""
        with self._template.device(_row()) as device:
            return device.look(time.time())

    def run_stock(self, case: Case, package: Path) -> End:
        """Install with the real SWUpdate."""
        command: list[str | Path] = [self._tool(SWUPDATE), "-v", "-f", "swupdate.cfg", "-B", "uboot"]
        command += ["-k", "signer.pem", "-H", "demo:1.0", *(["-K", "aes.key"] if case.key else [])]
        with self._device(package, {"swupdate.cfg": _STOCK}) as device:
            command += [*case.options, "-i", "update.swu"]
            return _run(device, case, command, {}, STOCK_S)

    def run_ours(self, case: Case, package: Path) -> End:
        """Install with `ota install`."""
        command = [sys.executable, "-m", "ota.cli", "--config", "device.toml", "install", "--json"]
        environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        lines = [_OURS, f"limits.script_s = {SCRIPT_S}", *case.settings]
        lines += ['decrypt.key = "aes.key"'] if case.key else []
        with self._device(package, {"device.toml": "\n".join(lines)}) as device:
            return _run(device, case, [*command, *case.options, "update.swu"], environment, OURS_S)

    @contextmanager
    def _device(self, package: Path, files: Mapping[str, str]) -> Iterator[Device]:
        with self._template.device(_row()) as device:
            shutil.copy(package, device.folder / "update.swu")
            for name, text in files.items():
                (device.folder / name).write_text(text)
            yield device


def _make_others(target: Path) -> None:
    """Where files may go, and what lies beside it."""
    (target / "app").mkdir()
    (target / "other").mkdir()
    (target / "other/file").write_text("not to be changed\n")
    for path in (target / "other/file", target / "other", target / "app"):
        os.utime(path, (1_000_000_000, 1_000_000_000))


def _row() -> conformance.Case:
    """What `Device` wants to know: nothing special."""
    return conformance.Case("hostile", "", "")


def _run(
    device: Device, case: Case, command: Sequence[str | Path], environment: Mapping[str, str], limit_s: int
) -> End:
    began = time.time()
    counted = ["sh", "-c", _COUNTED, "sh", case.prepare, *command]
    done = device.run(counted, environment, limit_s)
    answer = json.loads(done.out) if done.out.startswith("{") else {}
    code = answer.get("error", {}).get("code")
    return End(done.status, code, done.out + done.log, device.look(began), _left(device.folder))


def _left(folder: Path) -> str:
    told = folder / "left"
    lines = told.read_text().splitlines() if told.exists() else []
    for place in ("tmp", "state"):
        files = (
            path.relative_to(folder / place) for path in (folder / place).rglob("*") if not path.is_dir()
        )
        lines += [f"{place}/{path}" for path in files if path.parts[0] not in _KEPT]
    return "\n".join(lines)
