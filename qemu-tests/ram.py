"""The RAM profile: a guest that lives in memory, saved once when it is ready, and then restored on any disk.

A board boots in half a minute in an emulator; this one is there in two seconds. All of its user land, the
agent from the wheel included, is in the initramfs; its disks hold what is tested, and nothing that it runs.

QEMU's sdhci-pci does not survive saving: its PCI registers are lost. So the saved guest has not loaded its
driver yet; after each restore the device is removed, found anew, and bound. virtio-blk is bound late, too,
and so has not read anything of the disk that was there when the guest was saved.
"""

from __future__ import annotations

import stat
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import artefacts
import emulator
import kernel
import rootfs
import toolchain
import wheel
from acceleration import acceleration
from board import Board, Machine
from disk import Disk
from guest import driver
from initramfs import Entry, archive

# Without a boot loader to count for, it needs no watchdog; what is in _LATE is bound after each restore.
_EARLY: Final = (
    "mmc_block",
    "ext4",
    "crc32c_generic",
    "virtio_pci",
    "virtio_net",
    "virtio_console",
    "virtio-rng",
)
_LATE: Final = ("sdhci-pci", "virtio_blk")

_INIT: Final = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; mkdir -p /run/lock
for module in $(cat /modules/early); do busybox insmod /modules/$module; done
busybox ip link set lo up; busybox ip addr add 10.0.2.15/24 dev eth0; busybox ip link set eth0 up
exec python3 -I /driver.py --preload
"""
_BIND: Final = """\
#!/bin/sh
# bind SECONDS: after a restore. The clock stood still, and the disks may be others.
busybox date -s @$1 > /dev/null
for device in /sys/bus/pci/devices/*; do
    case $(cat $device/class) in 0x0805*) echo 1 > $device/remove ;; esac
done
echo 1 > /sys/bus/pci/rescan
for module in $(cat /modules/late); do busybox insmod /modules/$module; done
busybox timeout 10 sh -c 'until [ -b /dev/mmcblk0 ] && [ -b /dev/vda ]; do busybox usleep 10000; done'
"""


_MACHINES: Final = {
    "amd64": ("-M", "q35", "-cpu", "max"),
    "arm64": ("-M", "virt", "-cpu", "cortex-a57"),
}
_CONSOLES: Final = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
_MEMORY: Final = ("-m", "384", "-smp", "1")
_PACKAGES: Final = "usr/lib/python3/dist-packages"


@dataclass(frozen=True, slots=True)
class Profile:
    """What is saved.

    Args:
        machine: what it runs on.
        kernel: and `initramfs`: what it has booted.
        state: of the machine, when the driver was ready.
    """

    machine: Machine
    kernel: Path
    initramfs: Path
    console: str
    state: Path

    def boot(self) -> tuple[str | Path, ...]:
        words = f"console={self.console} quiet panic=1"
        return "-kernel", self.kernel, "-initrd", self.initramfs, "-append", words, "-no-reboot"


def profile(architecture: str) -> Profile:
    """The saved guest, made once for this agent and this emulator."""
    arguments = (*_MACHINES[architecture], *_MEMORY, *acceleration(architecture))
    machine = Machine(emulator.emulator(architecture), arguments)
    system, start = kernel.kernel(architecture), initramfs(architecture)

    def at(state: Path) -> Profile:
        return Profile(machine, system, start, _CONSOLES[architecture], state)

    def make(state: Path) -> None:
        save(at(state), state.parent / "console")

    inputs: list[str | Path] = [str(machine.program), *machine.arguments, system, start]
    return at(artefacts.made(f"ram-{architecture}", make, *inputs, *_sources()))


def initramfs(architecture: str) -> Path:
    """All of user land; not compressed, since an emulator copies faster than it decompresses."""
    tree = rootfs.rootfs(architecture, ("libubootenv-tool",), ("fw_printenv", "fw_setenv"))
    agent = wheel.wheel(architecture)
    early = kernel.modules(architecture, _EARLY)
    late = [path for path in kernel.modules(architecture, _LATE) if path not in early]

    def make(path: Path) -> None:
        with toolchain.workshop() as folder:
            root = folder / "root"
            artefacts.run("cp", "-a", tree, root)  # device nodes as such: /dev/full never ends
            with zipfile.ZipFile(agent) as wheel:
                wheel.extractall(root / _PACKAGES)
            rootfs.compile_python(root, _PACKAGES, sources=True)
            path.write_bytes(archive([*_entries(root), *_own(early, late)]))

    return artefacts.made(f"ram-initramfs-{architecture}", make, tree, agent, *early, *late, *_sources())


def save(profile: Profile, folder: Path) -> None:
    """Boot it without disks, and keep it."""
    with Board(profile.machine, folder, start=profile.boot()) as board:
        board.wait(driver.READY, timeout=240)
        board.qmp("stop")
        board.qmp("migrate", uri=f"file:{profile.state}")
        while (status := _status(board, "query-migrate")) != "completed":
            assert status != "failed", status
            time.sleep(0.05)


def restore(profile: Profile, folder: Path, *, emmc: Disk | None = None, virtio: Disk | None = None) -> Board:
    """A running guest with these disks as /dev/mmcblk0 and /dev/vda."""
    start = (*profile.boot(), "-incoming", f"file:{profile.state}")
    board = Board(profile.machine, folder, emmc=emmc, virtio=virtio, start=start)
    try:
        while _status(board, "query-status") != "paused":
            time.sleep(0.01)
        board.qmp("cont")
        result = board.run("/bind", str(int(time.time())))
        assert result.status == 0, result
    except BaseException:
        board.power_off()
        raise
    return board


def _status(board: Board, query: str) -> object:
    answer = board.qmp(query)
    assert isinstance(answer, dict)
    return answer.get("status")


def _entries(root: Path) -> Iterator[Entry]:
    """A folder's files, but for devices; a folder comes before what is in it."""
    for path in sorted(root.rglob("*")):
        mode, content = path.lstat().st_mode, b""
        if stat.S_ISLNK(mode):
            content = str(path.readlink()).encode()
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        elif not stat.S_ISDIR(mode):
            continue
        yield Entry(str(path.relative_to(root)), mode, content)


def _own(early: list[Path], late: list[Path]) -> Iterator[Entry]:
    for name in ("boot", "data", "dev", "modules", "proc", "run", "sys", "tmp"):
        yield Entry(name, stat.S_IFDIR | 0o755)
    for name, text in (("init", _INIT), ("bind", _BIND)):
        yield Entry(name, stat.S_IFREG | 0o755, text.encode())
    yield Entry("driver.py", stat.S_IFREG | 0o644, Path(driver.__file__).read_bytes())
    for name, modules in (("early", early), ("late", late)):
        names = " ".join(path.name for path in modules)
        yield Entry(f"modules/{name}", stat.S_IFREG | 0o644, names.encode())
        for path in modules:
            yield Entry(f"modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes())


def _sources() -> tuple[Path, ...]:
    """What the saved guest is made of, beside this module."""
    folder = Path(__file__).parent
    return folder / "board.py", folder / "guest" / "driver.py", folder / "initramfs.py"
