from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ota.errors import DeviceError
from ota.io import emmc
from ota.io.target import Target
from ota.tests.world import World

LAYOUT = r"""
#include <linux/major.h>
#include <linux/mmc/ioctl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#define FIELD(name) printf(#name " %zu %zu\n", offsetof(struct mmc_ioc_cmd, name), \
                           sizeof(((struct mmc_ioc_cmd *)0)->name))
int main(void) {
    FIELD(write_flag); FIELD(is_acmd); FIELD(opcode); FIELD(arg); FIELD(response); FIELD(flags);
    FIELD(blksz); FIELD(blocks); FIELD(postsleep_min_us); FIELD(postsleep_max_us);
    FIELD(data_timeout_ns); FIELD(cmd_timeout_ms); FIELD(data_ptr);
    printf("size %zu 0\nrequest %lu 0\n", sizeof(struct mmc_ioc_cmd), (unsigned long)MMC_IOC_CMD);
    return 0;
}
"""

# linux/mmc/core.h, which is not among the headers that programs get.
RSP_PRESENT, RSP_CRC, RSP_BUSY, RSP_OPCODE = 1 << 0, 1 << 2, 1 << 3, 1 << 4
CMD_AC, CMD_ADTC = 0 << 5, 1 << 5
RSP_SPI_S1, RSP_SPI_BUSY = 1 << 7, 1 << 10


@dataclass
class Card:
    """An eMMC that takes the kernel's commands, as the compiler lays them out.

    Attributes:
        layout: field -> offset and size.
        stuck: the register cannot be written.
    """

    layout: dict[str, tuple[int, int]]
    register: bytearray = field(default_factory=lambda: bytearray(512))
    stuck: bool = False
    sent: list[int] = field(default_factory=list)

    def ioctl(self, descriptor: int, request: int, command: bytearray) -> int:
        if request != self.layout["request"][0]:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        assert len(command) == self.layout["size"][0]
        said = {name: self._number(command, name) for name in self.layout if name not in ("size", "request")}
        assert not any(said[name] for name in ("is_acmd", "response", "cmd_timeout_ms", "data_timeout_ns"))
        self.sent.append(said["opcode"])
        if said["opcode"] == 8:
            assert (said["write_flag"], said["arg"], said["blksz"], said["blocks"]) == (0, 0, 512, 1)
            assert said["flags"] == RSP_SPI_S1 | RSP_PRESENT | RSP_CRC | RSP_OPCODE | CMD_ADTC
            ctypes.memmove(said["data_ptr"], bytes(self.register), 512)
        else:
            assert (said["opcode"], said["write_flag"], said["blocks"], said["data_ptr"]) == (6, 1, 0, 0)
            r1b = RSP_PRESENT | RSP_CRC | RSP_OPCODE | RSP_BUSY
            assert said["flags"] == RSP_SPI_S1 | RSP_SPI_BUSY | r1b | CMD_AC
            access, index, value, command_set = said["arg"].to_bytes(4, "big")
            assert (access, command_set) == (3, 1)  # write a byte; the normal set
            if not self.stuck:
                self.register[index] = value
        return 0

    def _number(self, command: bytearray, name: str) -> int:
        offset, size = self.layout[name]
        return int.from_bytes(command[offset : offset + size], "little")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """What the compiler makes of the kernel's header."""
    if not shutil.which("gcc") and "CI" not in os.environ:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("layout")
    (folder / "layout.c").write_text(LAYOUT)
    subprocess.run(["gcc", "-o", folder / "layout", folder / "layout.c"], check=True)
    lines = subprocess.check_output([folder / "layout"], text=True).splitlines()
    return {name: (int(offset), int(size)) for name, offset, size in map(str.split, lines)}


@pytest.fixture
def card(layout: dict[str, tuple[int, int]]) -> Card:
    card = Card(layout)
    card.register[emmc.BOOT_SIZE_MULT] = 32
    card.register[emmc.PARTITION_CONFIG] = 0b0_1_001_000  # acknowledged, boot partition 0
    return card


DEVICE = Path("/dev/null")  # something to open


def test_the_register_is_read_and_written_as_the_kernel_s_header_says(card: Card) -> None:
    before = emmc.config(DEVICE, card.ioctl)
    assert emmc.enabled(before) == emmc.BOOT_0
    emmc.set_config(DEVICE, emmc.starting(before, emmc.BOOT_1), card.ioctl)
    assert card.register[179] == 0b0_1_010_000
    assert card.sent == [8, 6, 8]  # it is read back
    assert bytes(card.register[:179]).count(0) == 179 and bytes(card.register[180:226]).count(0) == 46


def test_what_the_kernel_reads_just_now_is_no_difference(card: Card) -> None:
    card.register[179] |= 0b001
    assert emmc.config(DEVICE, card.ioctl) == 0b0_1_001_000


def test_only_what_is_started_from_changes() -> None:
    for value in range(256):
        changed = emmc.starting(value, emmc.USER_AREA)
        assert emmc.enabled(changed) == 7 and changed & 0x40 == value & 0x40 and changed & 0x87 == 0


def test_a_register_that_does_not_keep_its_value_is_an_error(card: Card) -> None:
    card.stuck = True
    with pytest.raises(DeviceError, match="does not keep"):
        emmc.set_config(DEVICE, emmc.starting(0, emmc.BOOT_1), card.ioctl)


def test_an_emmc_without_boot_partitions_is_an_error(card: Card) -> None:
    card.register[emmc.BOOT_SIZE_MULT] = 0
    with pytest.raises(DeviceError, match="no boot partitions"):
        emmc.config(DEVICE, card.ioctl)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/none", "/dev/loop0"])
def test_what_is_no_emmc_is_an_error(device: str) -> None:
    with pytest.raises(DeviceError) as error:
        emmc.config(Path(device))
    assert error.value.code == "emmc-register"


@pytest.mark.parametrize("is_locked", ["1", "0"])
def test_a_boot_partition_is_written_with_its_lock_taken_away_and_put_back(
    world: World, monkeypatch: pytest.MonkeyPatch, is_locked: str
) -> None:
    """The kernel's part is played by a file: it shows that the lock is off just when the image is written."""
    lock = world.folder / "classes/mmcblk0boot1/force_ro"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(is_locked)
    partition = world.folder / "mmcblk0boot1"
    seen: list[str] = []
    partition.write_bytes(bytes(100_000))
    monkeypatch.setattr(emmc, "CLASSES", world.folder / "classes")
    write_at = Target.write_at

    def watched(target: Target, offset: int, data: bytes) -> None:
        seen.append(lock.read_text())
        write_at(target, offset, data)

    monkeypatch.setattr(Target, "write_at", watched)
    loader = world.folder / "loader"
    loader.write_bytes(b"boot loader" * 1000)
    entry = world.raw_entry(loader).replace("/dev/mmcblk0p3", str(partition))
    assert world.ota("install", world.make_package(world.description(entry), loader)).status == 0
    assert set(seen) == {"0"}
    assert lock.read_text() == is_locked
    assert bool(partition.read_bytes().startswith(loader.read_bytes()))
