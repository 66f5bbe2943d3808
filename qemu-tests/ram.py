"""The RAM profile: a guest that lives in memory, saved once when it is ready, and then restored on any disk.

A board boots in half a minute in an emulator; this one is there in two seconds. All of its user land, the
agent from the wheel included, is in the initramfs; its disks hold what is tested, and nothing that it runs.

QEMU's sdhci-pci does not survive saving: its PCI registers are lost. So the saved guest has not loaded its driver
yet; after each restore the device is removed, found anew, and bound. virtio-blk is bound late, too, and so has
not read anything of the disk that was there when the guest was saved.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from board import Board, Machine
from disk import Disk
from guest import driver

LATE: Final = ("sdhci_pci", "virtio_blk")

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


@dataclass(frozen=True, slots=True)
class Profile:
    """What is saved.

    Args:
        machine: what it runs on.
        kernel: and `initramfs`: what it has booted.
        state: of the machine, when the driver was ready; made by `save`.
    """

    machine: Machine
    kernel: Path
    initramfs: Path
    console: str
    state: Path

    def boot(self) -> tuple[str | Path, ...]:
        words = f"console={self.console} quiet panic=1"
        return "-kernel", self.kernel, "-initrd", self.initramfs, "-append", words, "-no-reboot"


def save(profile: Profile, folder: Path) -> None:
    """Boot it without disks, and keep it."""
    with Board(profile.machine, folder, start=profile.boot()) as board:
        board.wait(driver.READY, timeout=240)
        board.qmp("stop")
        board.qmp("migrate", uri=f"file:{profile.state}")
        while (found := board.qmp("query-migrate"))["status"] != "completed":  # type: ignore[index]
            assert found["status"] != "failed", found  # type: ignore[index]
            time.sleep(0.05)


def restore(profile: Profile, folder: Path, *, emmc: Disk | None = None, virtio: Disk | None = None) -> Board:
    """A running guest with these disks as /dev/mmcblk0 and /dev/vda."""
    start = (*profile.boot(), "-incoming", f"file:{profile.state}")
    board = Board(profile.machine, folder, emmc=emmc, virtio=virtio, start=start)
    try:
        while board.qmp("query-status")["status"] != "paused":  # type: ignore[index,call-overload]
            time.sleep(0.01)
        board.qmp("cont")
        result = board.run("/bind", str(int(time.time())))
        assert result.status == 0, result
    except BaseException:
        board.power_off()
        raise
    return board
