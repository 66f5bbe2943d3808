"""What can be wrong with a device, made so in a real guest: one clear line, and the system that runs goes on.

All of it happens to one board, which is mended after each.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import emulation
import pytest
from board import Board
from guest import driver
from product import BOOTS_S, Method, Product, Release

pytestmark = pytest.mark.boards

DAY_S: Final = 86_400
# What the agent says of a clock that starts in 1970. systemd moves it on to the day when it was built itself,
# which nothing can know to be wrong, but the signer's certificate is newer.
STARTS: Final = {"qemu-arm64": "clock-wrong", "qemu-x86_64": "signature-invalid"}
# It starts in 1970, and a stick can be plugged in.
ARGUMENTS: Final = ("-rtc", "base=1970-01-01T00:01:00", "-device", "qemu-xhci")
STICK_SIZE: Final = 64 << 20  # bytes

# Where each boot loader keeps its variables: how to read all of that, and to write it.
READ: Final = {
    "uboot": "for at in 2048 3072; do dd if=/dev/mmcblk0 bs=512 skip=$at count=16 2>/dev/null; done",
    "grub": "cat /bootfs/grub/grubenv 2>&1 || :",
}
WRITE: Final = {
    "uboot": "for at in 2048 3072; do dd of=/dev/mmcblk0 bs=512 seek=$at count=16 2>/dev/null; done",
    "grub": "dd of=/bootfs/grub/grubenv conv=notrunc 2>/dev/null",
}
OTHER_SLOT: Final = {
    "uboot": "echo boot_slot=c | fw_setenv -s -",
    "grub": "sed s/boot_slot=a/boot_slot=c/ /tmp/kept | dd of=/bootfs/grub/grubenv conv=notrunc 2>/dev/null",
}

# linux/blkpg.h: the kernel forgets a partition, and knows it again; the disk stays as it is.
_PARTITION: Final = """\
import ctypes, fcntl, struct, sys
operation, start, size = map(int, sys.argv[1:])
partition = ctypes.create_string_buffer(struct.pack("qqi64s64s4x", start, size, 3, b"", b""))
request = struct.pack("iiiP", operation, 0, len(partition) - 1, ctypes.addressof(partition))
with open("/dev/mmcblk0", "rb") as disk:
    fcntl.ioctl(disk, 0x1269, request)
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A board that runs, and a release that it would take if nothing was wrong."""

    product: Product
    board: Board
    release: Release
    package: Path

    @property
    def loader(self) -> str:
        return self.product.emulation.loader

    def environment(self) -> str:
        """A digest of all that the boot loader keeps."""
        return self.board.shell(f"({READ[self.loader]}) | md5sum")

    def slots(self) -> list[str]:
        return [self.product.digest(name, self.release.size) for name in ("a", "b")]


BOARDS: Final = [pytest.param(name, marks=pytest.mark.board(name)) for name in emulation.NAMES]


@pytest.fixture(scope="module", params=BOARDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Product(request.param, tmp_path_factory.mktemp("site")) as product:
        release = product.release("2.0.0")
        package = product.pack(release)
        product.publish(package)
        with product.power_on(arguments=ARGUMENTS) as board:
            board.wait_all(driver.READY, f".*ota: {STARTS[request.param]}: .*", timeout=BOOTS_S)
            assert int(board.shell("date +%s")) < time.time() - DAY_S
            set_clock(board)
            yield Site(product, board, release, package)


def set_clock(board: Board) -> None:
    board.shell(f"date -s @{time.time():.0f}")


@contextmanager
def kept_environment(site: Site) -> Iterator[None]:
    kept = site.board.shell(f"({READ[site.loader]}) > /tmp/kept; base64 /tmp/kept")  # /tmp is lost by a reset
    try:
        yield
    finally:
        site.board.shell(f"echo '{kept}' | base64 -d | ({WRITE[site.loader]}); sync")


@contextmanager
def no_environment(site: Site) -> Iterator[None]:
    file = "/bootfs/grub/grubenv"
    with kept_environment(site):
        if site.loader == "grub":
            site.board.shell(f"mv {file} {file}.away")
        else:
            site.board.shell(f"head -c 16384 /dev/zero | ({WRITE[site.loader]})")
        try:
            yield
        finally:
            site.board.shell(f"! test -e {file}.away || mv {file}.away {file}")


@contextmanager
def damaged_environment(site: Site) -> Iterator[None]:
    with kept_environment(site):
        site.board.shell(f"tr 0-9a-f 1-9a-g < /tmp/kept | ({WRITE[site.loader]}); sync")
        yield


@contextmanager
def unknown_slot(site: Site) -> Iterator[None]:
    with kept_environment(site):
        site.board.shell(OTHER_SLOT[site.loader])
        yield


@contextmanager
def missing_slot(site: Site) -> Iterator[None]:
    partition = site.product.emulation.partition("slot-b")
    place = [str(partition.start), str(partition.size)]
    assert site.board.run("python3", "-c", _PARTITION, "2", *place).status == 0
    assert site.board.run("test", "-e", "/dev/mmcblk0p3").status == 1
    try:
        yield
    finally:
        assert site.board.run("python3", "-c", _PARTITION, "1", *place).status == 0


@contextmanager
def slot_that_is_no_device(site: Site) -> Iterator[None]:
    line = "slots.b.device = '/dev/mmcblk9'"
    site.board.shell(f'(echo "{line}"; cat /etc/otakit/device.toml) > /tmp/it')
    site.board.shell("mount -o bind /tmp/it /etc/otakit/device.toml")
    try:
        yield
    finally:
        site.board.shell("umount /etc/otakit/device.toml")


@contextmanager
def package_for_another_board(site: Site) -> Iterator[None]:
    (other,) = (name for name in emulation.NAMES if name != site.product.emulation.board)
    site.product.publish(site.product.pack(site.release, board=other))
    try:
        yield
    finally:
        site.product.publish(site.package)


@contextmanager
def clock_in_1970(site: Site) -> Iterator[None]:
    site.board.shell(f"date -s @{DAY_S}; test $(date +%Y) = 1970")  # the kernel takes no less than it is up
    try:
        yield
    finally:
        set_clock(site.board)


@contextmanager
def full_data(site: Site) -> Iterator[None]:
    site.board.shell("! dd if=/dev/zero of=/data/ballast bs=64K 2>/dev/null; ! echo more > /data/more")
    try:
        yield
    finally:
        site.board.shell("rm -f /data/ballast /data/more; sync")


@contextmanager
def read_only_data(site: Site) -> Iterator[None]:
    site.board.shell("sync; mount -o remount,ro /data")
    try:
        yield
    finally:
        site.board.shell("mount -o remount,rw /data")


@contextmanager
def no_network(site: Site) -> Iterator[None]:
    site.board.shell("ip link set eth0 down")
    try:
        yield
    finally:
        site.board.shell("ip link set eth0 up; ip route replace default via 10.0.2.2")


@contextmanager
def no_package(site: Site) -> Iterator[None]:
    site.product.withdraw()
    try:
        yield
    finally:
        site.product.publish(site.package)


@dataclass(frozen=True, slots=True)
class Case:
    """What is wrong, and what `ota boot` says of it."""

    wrong: Callable[[Site], AbstractContextManager[None]]
    code: str
    status: int
    command: str = "boot"
    lines: int = 1  # that have the code: one for each file that could not be written

    def __str__(self) -> str:
        return f"{self.wrong.__name__}-{self.command}"


CASES: Final = (
    Case(no_environment, "boot-environment", 4),
    Case(damaged_environment, "boot-environment", 4),
    Case(unknown_slot, "boot-environment", 4),
    Case(missing_slot, "slot-unreadable", 4),
    Case(slot_that_is_no_device, "slot-unreadable", 4),
    Case(package_for_another_board, "hardware-mismatch", 3),
    Case(clock_in_1970, "clock-wrong", 4),
    Case(clock_in_1970, "tls", 5, "install"),
    Case(full_data, "disk-full", 4, lines=2),
    Case(read_only_data, "state-unwritable", 4, lines=3),
    Case(no_network, "connect", 5),
    Case(no_package, "http-status", 5),
)


def test_a_board_that_starts_in_1970_says_so_in_one_line(site: Site) -> None:
    console = (site.product.folder / "board" / "console.log").read_text(errors="replace")
    assert console.count(f"ota: {STARTS[site.product.emulation.board]}: ") == 1, console[-3000:]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_wrong_is_said_in_a_line_and_the_system_goes_on(case: Case, site: Site) -> None:
    words = ["boot"] if case.command == "boot" else ["install", f"{site.product.url}latest.swu"]
    slots = site.slots()
    with case.wrong(site):
        environment = site.environment()
        result = site.product.ota(site.board, *words, "--no-reboot", "--json")
        print(f"{result.wall_s:.0f} s: {result.errors}")
        assert site.environment() == environment
    found = result.answer["problems"] if case.command == "boot" else [result.answer["error"]]
    assert isinstance(found, list)
    assert (result.status, [problem["code"] for problem in found]) == (case.status, [case.code])
    assert [case.code in line for line in result.errors.splitlines()].count(True) == case.lines, result.errors
    assert "Traceback" not in result.errors
    assert site.slots() == slots
    assert site.board.run("/bin/healthy").status == 0


def test_a_board_without_its_environment_starts_and_says_what_is_wrong(site: Site) -> None:
    with damaged_environment(site):
        site.board.reset()
        site.board.wait(".*otakit: slot=a .*", BOOTS_S)
        site.board.wait_all(driver.READY, ".*ota: boot-environment: .*", timeout=BOOTS_S)
        site.board.reconnect()
    set_clock(site.board)


def test_a_stick_that_is_plugged_in_has_a_release(site: Site, tool: Callable[[str], Path]) -> None:
    """With nothing else in reach; and so all that was wrong is mended."""
    image = site.product.folder / "stick"
    with image.open("wb") as file:
        file.truncate(STICK_SIZE)
    subprocess.run([tool("mkfs.vfat"), image], check=True, capture_output=True)
    site.board.qmp("blockdev-add", driver="file", filename=str(image), **{"node-name": "stick"})
    site.board.qmp("device_add", driver="usb-storage", drive="stick", id="stick")
    site.board.shell("until test -b /dev/sda; do sleep 0.1; done")
    site.board.shell("mount -t vfat /dev/sda /mnt")
    site.product.bring(site.board, site.product.pack(site.release, Method.RAW), "/mnt/new.swu")
    site.board.shell("umount /mnt")
    site.board.shell("sed '/^packages/s/.*/packages = [\"usb\"]/' /etc/otakit/device.toml > /tmp/device.toml")
    with no_network(site):
        words = ["--config", "/tmp/device.toml", "boot", "--no-reboot", "--json"]
        result = site.product.ota(site.board, *words)
    print(f"{result.wall_s:.0f} s: {result.errors}")
    assert (result.status, result.answer["restart"]) == (0, True), result
    assert site.product.digest("b", site.release.size) == site.release.digest
