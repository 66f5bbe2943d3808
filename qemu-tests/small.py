"""A device that is small enough to be cut a hundred times: the layout of the emulated boards, 4 MiB in a slot.

Its user land is the RAM profile's, so a slot holds plain bytes; only a boot loader would miss a kernel there. The
same image serves as an eMMC, behind two boot partitions, and as a virtio disk, and it has both boot environments.
What the device needs lies on its data partition:

    device-BUS-ENVIRONMENT.toml   fw_env-BUS.config   ca.pem   signer.pem   1.zck   2.swu
"""

from __future__ import annotations

import hashlib
import random
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import bootenv
from board import BOOT_PARTITION, Board
from disk import Content, Disk, Model
from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import Range
from packager import cli as packager
from ram import Profile, restore
from servers import Origin

IMAGE: Final = 4 << 20  # bytes

_MIB: Final = 1 << 20
_USER: Final = 512 * _MIB
_COPIES: Final = tuple(Range(start, start + bootenv.UBOOT_SIZE) for start in (_MIB, 3 * _MIB // 2))
_BOOT: Final = Range(4 * _MIB, 12 * _MIB)
_SLOTS: Final = {"a": Range(12 * _MIB, 60 * _MIB), "b": Range(60 * _MIB, 108 * _MIB)}
_DATA: Final = Range(108 * _MIB, 172 * _MIB)


class Bus(StrEnum):
    """How the disk is attached, and so whether it has a cache."""

    EMMC = "emmc"
    VIRTIO = "virtio"

    @property
    def device(self) -> str:
        return "/dev/mmcblk0" if self is Bus.EMMC else "/dev/vda"

    def partition(self, number: int) -> str:
        return self.device + ("p" if self is Bus.EMMC else "") + str(number)

    @property
    def start(self) -> int:
        """Of the user area, bytes."""
        return 2 * BOOT_PARTITION if self is Bus.EMMC else 0


class Environment(StrEnum):
    """Where the boot loader is told what to start; the words of `device.toml`."""

    UBOOT = "uboot"
    GRUB = "grub"


@dataclass(frozen=True, slots=True)
class Release:
    """A version of the software."""

    version: str
    image: Path
    package: Path
    published: Path  # .zck

    @property
    def header(self) -> Header:
        return zchunk.parse(self.published.read_bytes())

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.image.read_bytes()).hexdigest()


class Factory:
    """Makes releases 1 and 2, and disks with 1 in slot a; `grubenv` is where that file lies in the user area."""

    def __init__(self, folder: Path, origin: Origin, publish: Path) -> None:
        self._folder = folder
        self._publish = publish
        self._url = origin.url
        self.one = self._release("1", random.Random(1).randbytes(IMAGE))
        self.two = self._release("2", _changed(self.one.image.read_bytes()))
        self._user = folder / "user.img"
        self._make(origin.ca)
        self.grubenv = self._find_grubenv()
        self._emmc = folder / "emmc.img"
        with self._emmc.open("wb") as emmc:
            emmc.truncate(Bus.EMMC.start)
        _run("dd", f"if={self._user}", f"of={self._emmc}", "bs=1M", f"seek={Bus.EMMC.start // _MIB}", "conv=sparse,notrunc")
        with self._emmc.open("r+b") as emmc:
            emmc.truncate(Bus.EMMC.start + _USER)

    def image(self, bus: Bus) -> Path:
        return self._emmc if bus is Bus.EMMC else self._user

    def _release(self, version: str, image: bytes) -> Release:
        folder = self._folder / version
        folder.mkdir()
        (folder / "image").write_bytes(image)
        (folder / "release.toml").write_text(
            f'version = "{version}"\nboard = "demo"\nname = "small"\n'
            f'[[image]]\nname = "image"\nfile = "image"\ntype = "delta"\nurl = "{self._url}"\n'
        )
        words = ["build", str(folder / "release.toml"), "-o", str(folder), "--dev-keys", str(self._folder / "keys")]
        assert packager.main([*words, "--quiet"]) == 0
        name = f"image-{version}.zck"
        (folder / "publish" / name).rename(self._publish / name)
        return Release(version, folder / "image", folder / f"small-{version}.swu", self._publish / name)

    def _make(self, ca: Path) -> None:
        boot, data = self._folder / "boot", self._folder / "data"
        (boot / "grub").mkdir(parents=True)
        variables = {"boot_slot": "a", "ustate": "0", "boot_tries": "0"}
        (boot / "grub" / "grubenv").write_bytes(bootenv.render_grub(variables))
        data.mkdir()
        for file, name in ((ca, "ca.pem"), (self._folder / "keys" / "dev.pem", "signer.pem"),
                           (self.one.published, "1.zck"), (self.two.package, "2.swu")):  # fmt: skip
            (data / name).write_bytes(file.read_bytes())
        for bus in Bus:
            lines = (f"{bus.device} {copy.start:#x} {len(copy):#x}\n" for copy in _COPIES)
            (data / f"fw_env-{bus}.config").write_text("".join(lines))
            for environment in Environment:
                (data / f"device-{bus}-{environment}.toml").write_text(_configuration(bus, environment))
        with self._user.open("wb") as user:
            user.truncate(_USER)
        parts = "".join(f"start={part.start // 512}, size={len(part) // 512}\n" for part in (_BOOT, *_SLOTS.values(), _DATA))
        subprocess.run(["sfdisk", "--quiet", self._user], input="label: gpt\n" + parts, text=True, check=True)
        _make_file_system(self._user, _BOOT, boot, "^has_journal,^metadata_csum,^64bit")
        _make_file_system(self._user, _DATA, data, "metadata_csum")
        with self._user.open("r+b") as user:
            for flag, copy in enumerate(_COPIES):
                user.seek(copy.start)
                user.write(bootenv.render_uboot(variables, flag))
            user.seek(_SLOTS["a"].start)
            user.write(self.one.image.read_bytes())

    def _find_grubenv(self) -> Range:
        """It is rewritten in place, so it stays there."""
        place = f"{self._user}?offset={_BOOT.start}"
        found = _run("debugfs", "-R", "bmap /grub/grubenv 0", place).split()[-1]
        sizes = _run("debugfs", "-R", "stats", place)
        size = next(int(line.split()[-1]) for line in sizes.splitlines() if line.startswith("Block size"))
        start = _BOOT.start + int(found) * size
        return Range(start, start + bootenv.GRUB_SIZE)


class Device:
    """One device, with its disk.

    Args:
        content: of the disk; it is changed.
        model: of the disk; one for each power-on.
    """

    def __init__(self, factory: Factory, bus: Bus, environment: Environment, content: Content) -> None:
        self.factory = factory
        self.bus = bus
        self.environment = environment
        self.content = content
        self.disk: Disk

    def power_on(self, profile: Profile, folder: Path, model: Model) -> Board:
        """Boot into the RAM profile, with the data and boot partitions mounted."""
        self.disk = Disk(self.content, model)
        board = restore(profile, folder, **{str(self.bus): self.disk})
        try:
            board.shell(
                f"mount -t ext4 -o noatime {self.bus.partition(4)} /data; mkdir -p /boot;"
                f"mount -t ext4 -o noatime {self.bus.partition(1)} /boot"
            )
        except BaseException:
            board.power_off()
            raise
        return board

    def words(self, *command: str) -> tuple[str, ...]:
        """A command of `ota` for this device."""
        return "ota", "--config", f"/data/device-{self.bus}-{self.environment}.toml", *command

    def place(self, part: Range) -> Range:
        """On the disk, of something in the user area."""
        return Range(part.start + self.bus.start, part.stop + self.bus.start)

    @property
    def slot_b(self) -> Range:
        """The bytes of the image in it."""
        start = _SLOTS["b"].start
        return self.place(Range(start, start + IMAGE))

    @property
    def data(self) -> Range:
        return self.place(_DATA)

    @property
    def stores(self) -> Range:
        """Where the boot environment is written."""
        if self.environment is Environment.GRUB:
            return self.place(self.factory.grubenv)
        return self.place(Range(_COPIES[0].start, _COPIES[1].stop))

    def variables(self) -> dict[str, str]:
        """As the boot loader finds them, off the disk as it is.

        Raises:
            bootenv.NoEnvironment: it does not.
        """
        if self.environment is Environment.GRUB:
            return bootenv.read_grub(self._read(self.factory.grubenv))
        return bootenv.read_uboot(*map(self._read, _COPIES))

    def digest(self, slot: str) -> str:
        start = _SLOTS[slot].start
        return hashlib.sha256(self._read(Range(start, start + IMAGE))).hexdigest()

    def chunks_of_two(self) -> list[Range]:
        """Of the published release 2, what is in place in slot b already."""
        header, image = self.factory.two.header, self._read(Range(_SLOTS["b"].start, _SLOTS["b"].start + IMAGE))
        held = []
        for number, chunk in enumerate(header):
            start, stop = header.offset(number), header.offset(number + 1)
            if hashlib.sha256(image[start:stop]).digest() == header.digest(number):
                held.append(Range(chunk.start, chunk.stop))
        return held

    def _read(self, part: Range) -> bytes:
        place = self.place(part)
        return self.content.read(place.start, len(place))


def _changed(image: bytes) -> bytes:
    """Release 2: a third is new, in pieces; the rest stays, some of it elsewhere."""
    chance, changed = random.Random(2), bytearray(image)
    for start in range(0, IMAGE, 256 << 10):
        changed[start : start + (80 << 10)] = chance.randbytes(80 << 10)
    return bytes(changed[100_000:] + image[:100_000])


def _configuration(bus: Bus, environment: Environment) -> str:
    path = f"/data/fw_env-{bus}.config" if environment is Environment.UBOOT else "/boot/grub/grubenv"
    return f"""\
board = "demo"
revision = "1.0"
state_dir = "/data/otakit"
slots.a.device = "{bus.partition(2)}"
slots.b.device = "{bus.partition(3)}"
running.slot = "a"
boot = {{ environment = "{environment}", path = "{path}" }}
trust.certificates = ["signer.pem"]
network = {{ ca = "ca.pem", in_flight = "256K" }}
"""


def _make_file_system(disk: Path, part: Range, folder: Path, features: str) -> None:
    options = ["-q", "-t", "ext4", "-O", features, "-E", f"offset={part.start},lazy_itable_init=0"]
    _run("mke2fs", *options, "-d", str(folder), str(disk), f"{len(part) >> 10}k")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
