"""A device that is small enough to be cut a hundred times: laid out as emulated boards are, 4 MiB in a slot.

Its user land is the RAM profile's, so a slot holds plain bytes; only a boot loader would miss a kernel there.
The same image serves as an eMMC, behind two boot partitions, and as a virtio disk, and it has both boot
environments. What the device needs lies on its data partition: ca.pem, signer.pem, 2.swu, fw_env-BUS.config,
and a state folder for each of the ways in which it may begin.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import bootenv
from board import BOOT_PARTITION, Board
from disk import SECTOR, Content, Disk, Model
from ram import Profile, restore
from servers import Origin

from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import Range
from ota.sync.manifests import Manifests
from packager import build, keys, release

_MIB: Final = 1 << 20
_COPIES: Final = tuple(Range(start, start + bootenv.UBOOT_SIZE) for start in (_MIB, 3 * _MIB // 2))
_BOOT: Final = Range(4 * _MIB, 12 * _MIB)
_DATA: Final = 64 * _MIB


_MOUNT: Final = """\
mount -t ext4 -o noatime $1 /data; mount -t ext4 -o noatime $2 /boot; echo "$3" > /run/device.toml
"""
_CONFIGURATION: Final = """\
board = "demo"
revision = "1.0"
state_dir = "/data/{state}"
slots.a.device = "{a}"
slots.b.device = "{b}"
running.slot = "{running}"
boot = {{ environment = "{environment}", path = "{path}" }}
trust.certificates = ["/data/signer.pem"]
network = {{ ca = "/data/ca.pem", in_flight = "256K" }}
"""


class Bus(StrEnum):
    """How the disk is attached, and so whether it has a cache."""

    EMMC = "emmc"
    VIRTIO = "virtio"

    @property
    def device(self) -> str:
        return "/dev/mmcblk0" if self is Bus.EMMC else "/dev/vda"

    def part(self, number: int) -> str:
        return self.device + ("p" if self is Bus.EMMC else "") + str(number)

    @property
    def start(self) -> int:
        """Of the user area, bytes."""
        return 2 * BOOT_PARTITION if self is Bus.EMMC else 0


class Environment(StrEnum):
    """Where the boot loader is told what to start; the words of `device.toml`."""

    UBOOT = "uboot"
    GRUB = "grub"


class Start(StrEnum):
    """What slot b holds, and the agent knows of it, before the update to release 2."""

    OLD = "old"  # release 1, like slot a
    BLANK = "blank"
    WRITTEN = "written"  # release 2, but the boot loader was never told


@dataclass(frozen=True, slots=True)
class Layout:
    """Of the user area, in bytes; as the emulated boards have it, but for the size of a slot."""

    image: int = 4 * _MIB
    slot: int = 48 * _MIB
    spacing: int = _MIB // 4  # of what is new in release 2

    @property
    def slots(self) -> dict[str, Range]:
        """The bytes of the image in each."""
        starts = {"a": _BOOT.stop, "b": _BOOT.stop + self.slot}
        return {name: Range(start, start + self.image) for name, start in starts.items()}

    @property
    def partitions(self) -> tuple[Range, ...]:
        a, b, data = (_BOOT.stop + count * self.slot for count in range(3))
        return _BOOT, Range(a, b), Range(b, data), Range(data, data + _DATA)

    @property
    def size(self) -> int:
        """A power of two, as QEMU's eMMC has to be."""
        return max(512 * _MIB, 1 << self.partitions[-1].stop.bit_length())


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
    """Makes releases 1 and 2, and disks with 1 in slot a.

    Attributes:
        grubenv: where that file lies in the user area: it is rewritten in place.
    """

    def __init__(self, folder: Path, origin: Origin, publish: Path, layout: Layout) -> None:
        self._folder = folder
        self._publish = publish
        self._url = origin.url
        self.layout = layout
        chance = random.Random(1)
        one = b"".join(chance.randbytes(_MIB) for _ in range(layout.image // _MIB))
        self.one, self.two = self._release("1", one), self._release("2", _changed(one, layout.spacing))
        self._user, self._emmc = folder / "user.img", folder / "emmc.img"
        self._make(origin.ca)
        self.grubenv = find(self._user, _BOOT, "/grub/grubenv", bootenv.GRUB_SIZE)

    def content(self, bus: Bus, start: Start) -> Content:
        """Of a disk."""
        content = Content(self._image(bus))
        if start is not Start.BLANK:
            held = self.one if start is Start.OLD else self.two
            content.write(bus.start + self.layout.slots["b"].start, held.image.read_bytes())
        return content

    def _image(self, bus: Bus) -> Path:
        """Of the disk; made when it is first asked for."""
        if bus is Bus.EMMC and not self._emmc.exists():
            where = f"seek={bus.start // _MIB}"
            _run("dd", f"if={self._user}", f"of={self._emmc}", "bs=1M", where, "conv=sparse")
        return self._user if bus is Bus.VIRTIO else self._emmc

    def _release(self, version: str, image: bytes) -> Release:
        folder = self._folder / version
        folder.mkdir(parents=True)
        (folder / "image").write_bytes(image)
        (folder / "release.toml").write_text(
            f'version = "{version}"\nboard = "demo"\nname = "small"\n'
            f'[[image]]\nname = "image"\nfile = "image"\ntype = "delta"\nurl = "{self._url}"\n'
        )
        signer = keys.development(self._folder)
        build.build(release.read(folder / "release.toml"), signer, folder, time=int(time.time()))
        name = f"image-{version}.zck"
        (folder / "publish" / name).rename(self._publish / name)
        return Release(version, folder / "image", folder / f"small-{version}.swu", self._publish / name)

    def _make(self, ca: Path) -> None:
        boot, data = self._folder / "boot", self._folder / "data"
        (boot / "grub").mkdir(parents=True)
        variables = {"boot_slot": "a", "ustate": "0", "boot_tries": "0"}
        (boot / "grub" / "grubenv").write_bytes(bootenv.render_grub(variables))
        self._fill(data, ca)
        with self._user.open("wb") as user:
            user.truncate(self.layout.size)
        parts = (f"start={part.start // 512}, size={len(part) // 512}" for part in self.layout.partitions)
        subprocess.run(
            ["sfdisk", "--quiet", self._user], input="\n".join(["label: gpt", *parts]), text=True, check=True
        )
        _make_file_system(self._user, _BOOT, boot, "^has_journal,^metadata_csum,^64bit")
        _make_file_system(self._user, self.layout.partitions[-1], data, "^orphan_file")
        with self._user.open("r+b") as user:
            for flag, copy in enumerate(_COPIES):
                user.seek(copy.start)
                user.write(bootenv.render_uboot(variables, flag))
            user.seek(self.layout.slots["a"].start)
            user.write(self.one.image.read_bytes())

    def _fill(self, data: Path, ca: Path) -> None:
        data.mkdir()
        signer = self._folder / keys.CERTIFICATE
        for file, name in ((ca, "ca.pem"), (signer, "signer.pem"), (self.two.package, "2.swu")):
            (data / name).write_bytes(file.read_bytes())
        for bus in Bus:
            lines = (f"{bus.device} {copy.start:#x} {len(copy):#x}\n" for copy in _COPIES)
            (data / f"fw_env-{bus}.config").write_text("".join(lines))
        for start, held in ((Start.OLD, self.one), (Start.BLANK, None), (Start.WRITTEN, self.two)):
            known = Manifests(data / start)
            for slot, version in (("a", self.one), ("b", held)):
                if version:
                    known.commit(
                        slot, version.header, version.version, f"{self._url}{version.published.name}"
                    )


class Device:
    """One device, with its disk.

    Attributes:
        disk: since the last `power_on`.
        running: the slot that the guest takes for the one that it runs from.
    """

    def __init__(self, factory: Factory, bus: Bus, environment: Environment, start: Start) -> None:
        self.factory = factory
        self.grubenv = factory.grubenv
        self.bus = bus
        self.environment = environment
        self.start = start
        self.content = factory.content(bus, start)
        self.running = "a"
        self.disk: Disk

    def move(self, image: Path) -> None:
        """To an eMMC with a boot loader, of the same layout: what is its own comes along."""
        assert self.bus is Bus.EMMC
        if self.environment is Environment.GRUB:
            self.grubenv = find(image, self.place(_BOOT), "/grub/grubenv", bootenv.GRUB_SIZE, self.bus.start)
        content = Content(image)
        for part in (*self.factory.layout.slots.values(), self.factory.layout.partitions[-1]):
            place = self.place(part)
            content.write(place.start, self.content.read(place.start, len(place)))
        self.content = content

    def power_on(self, profile: Profile, folder: Path, model: Model) -> Board:
        """Boot into the RAM profile, with the data and boot partitions mounted."""
        self.disk = Disk(self.content, model)
        disks = {str(self.bus): self.disk}
        board = restore(profile, folder, emmc=disks.get("emmc"), virtio=disks.get("virtio"))
        try:
            result = board.run("sh", "-ec", _MOUNT, "sh", *map(self.bus.part, (4, 1)), self._configuration())
            assert result.status == 0, result
        except BaseException:
            board.power_off()
            raise
        return board

    def words(self, *command: str) -> tuple[str, ...]:
        """A command of `ota` for this device."""
        return "ota", "--config", "/run/device.toml", *command

    def place(self, part: Range) -> Range:
        """On the disk, of something in the user area."""
        return Range(part.start + self.bus.start, part.stop + self.bus.start)

    @property
    def slot_b(self) -> Range:
        """The bytes of the image in it."""
        return self.place(self.factory.layout.slots["b"])

    @property
    def data(self) -> Range:
        return self.place(self.factory.layout.partitions[-1])

    @property
    def stores(self) -> Range:
        """Where the boot environment is written."""
        if self.environment is Environment.GRUB:
            return self.place(self.grubenv)
        return self.place(Range(_COPIES[0].start, _COPIES[1].stop))

    @property
    def store_sectors(self) -> int:
        """What one change of the boot environment writes there."""
        return (bootenv.GRUB_SIZE if self.environment is Environment.GRUB else bootenv.UBOOT_SIZE) // SECTOR

    def variables(self) -> dict[str, str]:
        """As the boot loader finds them, off the disk as it is.

        Raises:
            bootenv.NoEnvironmentError: it does not.
        """
        if self.environment is Environment.GRUB:
            return bootenv.read_grub(self._read(self.grubenv))
        return bootenv.read_uboot(*map(self._read, _COPIES))

    def tell(self, variables: Mapping[str, str]) -> None:
        """Let the boot environment say this, beside what it says of other variables."""
        told = {**self.variables(), **variables}
        if self.environment is Environment.GRUB:
            places = [(self.grubenv, bootenv.render_grub(told))]
        else:
            places = [(copy, bootenv.render_uboot(told, flag)) for flag, copy in enumerate(_COPIES)]
        for part, data in places:
            self.content.write(self.place(part).start, data)

    def digest(self, slot: str) -> str:
        return hashlib.sha256(self._read(self.factory.layout.slots[slot])).hexdigest()

    def held(self) -> list[Range]:
        """Of the published release 2, the chunks that are in place in slot b."""
        header, image = self.factory.two.header, self._read(self.factory.layout.slots["b"])
        held = []
        for number, chunk in enumerate(header):
            start, stop = header.offset(number), header.offset(number + 1)
            if hashlib.sha256(image[start:stop]).digest() == header.digest(number):
                held.append(Range(chunk.start, chunk.stop))
        return held

    def _configuration(self) -> str:
        path = (
            "/boot/grub/grubenv"
            if self.environment is Environment.GRUB
            else f"/data/fw_env-{self.bus}.config"
        )
        return _CONFIGURATION.format(
            state=self.start,
            a=self.bus.part(2),
            b=self.bus.part(3),
            running=self.running,
            environment=self.environment,
            path=path,
        )

    def _read(self, part: Range) -> bytes:
        place = self.place(part)
        return self.content.read(place.start, len(place))


def _changed(image: bytes, spacing: int) -> bytes:
    """Release 2: some pieces are new; of the rest half lies elsewhere."""
    chance, changed = random.Random(2), bytearray(image)
    for start in range(0, len(image), spacing):
        changed[start : start + (24 << 10)] = chance.randbytes(24 << 10)
    half = len(image) // 2
    return bytes(changed[:half] + changed[half + 100_000 :] + image[half : half + 100_000])


def find(disk: Path, part: Range, name: str, size: int, base: int = 0) -> Range:
    """Where a file of one block lies, counted from `base`; its file system lies in `part`."""
    place = f"{disk}?offset={part.start}"
    block = _run("debugfs", "-R", f"bmap {name} 0", place).split()[-1]
    said = _run("debugfs", "-R", "stats", place).splitlines()
    block_size = next(int(line.split()[-1]) for line in said if line.startswith("Block size"))
    start = part.start + int(block) * block_size - base
    return Range(start, start + size)


def _make_file_system(disk: Path, part: Range, folder: Path, features: str) -> None:
    options = ["-q", "-t", "ext4", "-O", features, "-E", f"offset={part.start},lazy_itable_init=0"]
    _run("mke2fs", *options, "-d", str(folder), str(disk), f"{len(part) >> 10}k")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
