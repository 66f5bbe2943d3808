"""How guests are run: by the processor itself where that works, else translated.

That /dev/kvm is there says little: on some virtual machines a stock kernel starts with it, and spins for
ever. So it is found out by booting one, once a machine.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Final

import artefacts
import emulator
import kernel

_KVM: Final = ("-accel", "kvm")
_PATIENCE_S: Final = 10
_PROBES: Final = {"amd64": ("x86_64", "q35", "ttyS0"), "arm64": ("aarch64", "virt", "ttyAMA0")}
_BOOTED: Final = "Unable to mount root fs"  # as far as a kernel comes that has none


def acceleration(architecture: str) -> tuple[str, ...]:
    """QEMU's arguments for guests of an architecture, by Debian's name of it."""
    processor, _, _ = _PROBES[architecture]
    if platform.machine() != processor or not Path("/dev/kvm").exists():
        return emulator.EMULATED
    program, system = emulator.emulator(architecture), kernel.kernel(architecture)

    def make(path: Path) -> None:
        path.write_text("yes" if _boots(architecture, program, system) else "no")

    # A machine is told by its kernel and name: a cache may be carried to another.
    answer = artefacts.made(f"kvm-{architecture}", make, program, system, *platform.uname())
    return _KVM if answer.read_text() == "yes" else emulator.EMULATED


def _boots(architecture: str, program: Path, system: Path) -> bool:
    _, machine, console = _PROBES[architecture]
    command: list[str | Path] = [
        program, *_KVM, "-machine", machine, "-cpu", "max", "-m", "256", "-nodefaults", "-display", "none",
        "-no-reboot", "-serial", "stdio", "-kernel", system, "-append", f"console={console} panic=-1",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return False
    return _BOOTED.encode() in done.stdout
