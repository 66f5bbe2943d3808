"""Which hardware boot partition an eMMC starts from: PARTITION_CONFIG of its EXT_CSD register.

JEDEC JESD84-B51, section 7.4.69: byte 179 of EXT_CSD, kept without power.

| bits | meaning |
| --- | --- |
| 6 | BOOT_ACK: the host wants to be told when booting begins |
| 5..3 | BOOT_PARTITION_ENABLE: 0 none, 1 and 2 the boot partitions 0 and 1, 7 the user area |
| 2..0 | PARTITION_ACCESS: what the kernel reads and writes just now |

Commands go through MMC_IOC_CMD, `struct mmc_ioc_cmd` of linux/mmc/ioctl.h, to the whole device; flags are
those of linux/mmc/core.h.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ota.errors import DeviceError

PARTITION_CONFIG: Final = 179  # bytes of EXT_CSD
BOOT_SIZE_MULT: Final = 226  # 0: there are no boot partitions
EXT_CSD_SIZE: Final = 512
BOOT_0, BOOT_1, USER_AREA = 1, 2, 7  # of BOOT_PARTITION_ENABLE

# write_flag, is_acmd, opcode, arg, response[4], flags, blksz, blocks, postsleep_min_us, postsleep_max_us,
# data_timeout_ns, cmd_timeout_ms, padding, data_ptr
COMMAND: Final = struct.Struct("=iiII16sIIIIIII4xQ")
MMC_IOC_CMD: Final = 0xC000_0000 | COMMAND.size << 16 | 179 << 8  # _IOWR(MMC_BLOCK_MAJOR, 0, ...)

SEND_EXT_CSD: Final = 8
SWITCH: Final = 6
_READ_FLAGS: Final = 0xB5  # MMC_RSP_SPI_R1 | MMC_RSP_R1 | MMC_CMD_ADTC
_SWITCH_FLAGS: Final = 0x49D  # MMC_RSP_SPI_R1B | MMC_RSP_R1B | MMC_CMD_AC
_WRITE_BYTE: Final = 3 << 24  # of SWITCH's argument

_BOOT_ACK: Final = 1 << 6
_ACCESS: Final = 7

CLASSES: Final = Path("/sys/class/block")

Ioctl = Callable[[int, int, bytearray], object]
"""fcntl.ioctl, or a stand-in."""


def _ioctl(descriptor: int, request: int, command: bytearray) -> object:
    return fcntl.ioctl(descriptor, request, command, True)


@contextmanager
def unlocked(device: Path) -> Iterator[None]:
    """While this runs, an eMMC's boot partition is not kept read-only by force_ro.

    Source: Linux, Documentation/driver-api/mmc/mmc-dev-attrs.rst and mmc-dev-parts.rst.

    Raises:
        DeviceError: "slot-write".
    """
    lock = CLASSES / device.resolve().name / "force_ro"
    if not lock.exists():
        yield
        return
    before = lock.read_text().strip()
    _set_lock(lock, "0")
    try:
        yield
    finally:
        _set_lock(lock, before)


def _set_lock(lock: Path, value: str) -> None:
    try:
        lock.write_text(value)
    except OSError as error:
        raise DeviceError("slot-write", f"{lock} cannot be set: {error.strerror}") from error


def config(device: Path, ioctl: Ioctl = _ioctl) -> int:
    """PARTITION_CONFIG, without PARTITION_ACCESS, of an eMMC that has boot partitions.

    Raises:
        DeviceError: "emmc-register".
    """
    register = _read(device, ioctl)
    if not register[BOOT_SIZE_MULT]:
        raise DeviceError("emmc-register", f"{device} has no boot partitions")
    return register[PARTITION_CONFIG] & ~_ACCESS


def set_config(device: Path, value: int, ioctl: Ioctl = _ioctl) -> None:
    """Write PARTITION_CONFIG, at once and for good, and read it back.

    Raises:
        DeviceError: "emmc-register".
    """
    _send(device, ioctl, _switch(PARTITION_CONFIG, value))
    found = config(device, ioctl)
    if found != value:
        raise DeviceError(
            "emmc-register", f"{device} does not keep PARTITION_CONFIG", expected=hex(value), found=hex(found)
        )


def enabled(value: int) -> int:
    """BOOT_PARTITION_ENABLE of a PARTITION_CONFIG."""
    return value >> 3 & 7


def starting(value: int, enable: int) -> int:
    """A PARTITION_CONFIG with another BOOT_PARTITION_ENABLE; BOOT_ACK stays."""
    return value & _BOOT_ACK | enable << 3


def _read(device: Path, ioctl: Ioctl) -> bytes:
    import ctypes  # few devices set this register: loaded for those

    register = ctypes.create_string_buffer(EXT_CSD_SIZE)
    _send(device, ioctl, _read_command(ctypes.addressof(register)))
    return register.raw


def _send(device: Path, ioctl: Ioctl, command: bytearray) -> None:
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceError("emmc-register", f"{device} cannot be opened: {error.strerror}") from error
    try:
        ioctl(descriptor, MMC_IOC_CMD, command)
    except OSError as error:
        raise DeviceError(
            "emmc-register",
            f"{device} takes no eMMC command: {error.strerror}",
            expected="an eMMC, such as /dev/mmcblk0",
        ) from error
    finally:
        os.close(descriptor)


def _read_command(buffer: int) -> bytearray:
    """CMD8: one block of data into a buffer at this address."""
    return bytearray(
        COMMAND.pack(0, 0, SEND_EXT_CSD, 0, b"", _READ_FLAGS, EXT_CSD_SIZE, 1, 0, 0, 0, 0, buffer)
    )


def _switch(index: int, value: int) -> bytearray:
    """CMD6: write one byte of EXT_CSD; the kernel waits as long as the card says that it takes."""
    argument = _WRITE_BYTE | index << 16 | value << 8 | 1  # command set "normal"
    return bytearray(COMMAND.pack(1, 0, SWITCH, argument, b"", _SWITCH_FLAGS, 0, 0, 0, 0, 0, 0, 0))
