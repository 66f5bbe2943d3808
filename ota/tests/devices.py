"""Devices to install on, as many equal ones as wanted, and what they hold.

A device is a folder. In it lie the images of its disks, its tree of files, its U-Boot environment and what
the programs are configured with; while it is in use, the disks are loop devices with partitions.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.tests import sandbox
from ota.tests.conformance.case import (
    BLANK,
    BOOT,
    DISK,
    DISK_SIZE,
    FOLDER,
    KEY,
    PARTITIONS,
    VERSIONS,
    Case,
    Environment,
    noise,
)  # fmt: skip

_ENVIRONMENT_SIZE: Final = 1 << 14
_LONG_AGO: Final = 1_000_000_000  # Unix time; of every file in the beginning

Value = bytes | dict[str, object]
Snapshot = Mapping[str, Value]  # what a device holds, by part: "mmcblk0", "mmcblk0p4", "folder", "boot", ...


@dataclass(frozen=True, slots=True)
class Device:
    """A device in use."""

    folder: Path
    case: Case
    loops: Mapping[str, Path]  # name in /dev -> the machine's own

    def run(
        self, command: Sequence[str | Path], environment: Mapping[str, str], timeout_s: float
    ) -> sandbox.Done:
        """Run a program on it, in `folder`."""
        numbers = {name: node.stat().st_rdev for name, node in self._nodes().items()}
        return sandbox.run(command, self.folder, numbers, environment, timeout_s)

    def look(self, began: float) -> Snapshot:
        """Everything that may have changed; the time of files changed since `began` is "now"."""
        left: dict[str, Value] = {FOLDER: _tree(self.folder / "target", began), BOOT: self._variables()}
        left[VERSIONS] = (self.folder / VERSIONS).read_bytes()
        for name in self.loops:
            left[name] = self._disk(name)
        for name in self.case.trees:
            left[name] = _file_system(self._nodes()[name], self.folder / "look", began)
        return left

    def _disk(self, name: str) -> bytes:
        """Its bytes, but for what is compared otherwise or not at all."""
        data = bytearray((self.folder / f"{name}.img").read_bytes())
        ranges = [(start, stop) for masked, start, stop, _ in self.case.masks if masked == name]
        ranges += [
            (part.start, part.stop) for part in PARTITIONS if part.node in self.case.trees and name == DISK
        ]
        ranges += [(0, len(data))] if name in self.case.trees else []
        for start, stop in ranges:
            data[start:stop] = bytes(stop - start)
        return bytes(data)

    def _variables(self) -> dict[str, object]:
        """Of every environment that the row has; names of the second have "app:" in front."""
        if self.case.environment is Environment.NONE:
            return {}
        if self.case.environment is Environment.NAMESPACES:
            app = self._printed(_plain_config(self.folder / "app.env", copies=1))
            single = self._printed(_plain_config(self.folder / "single.env", copies=1))
            return single | {f"app:{name}": value for name, value in app.items()}
        return self._printed(_environment_config(self.case.environment, self.folder))

    def _printed(self, config: str) -> dict[str, object]:
        (self.folder / "look.config").write_text(config)
        command: list[str | Path] = ["fw_printenv", "-c", self.folder / "look.config"]
        lines = (
            subprocess.run(command, check=True, capture_output=True)
            .stdout.decode(errors="replace")
            .splitlines()
        )
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def _nodes(self) -> dict[str, Path]:
        """Disks and their partitions."""
        nodes = dict(self.loops)
        for name, loop in self.loops.items():
            for part in Path("/sys/block", loop.name).glob(f"{loop.name}p*"):
                number = part.name.removeprefix(f"{loop.name}p")
                nodes[f"{name}p{number}" if name[-1].isdigit() else name + number] = loop.with_name(part.name)
        return nodes


class Template:
    """What every device is a copy of."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Args: files: what else lies in a device's folder."""
        self._folder = folder
        for name in ("device/tmp", "device/state", "making"):
            (folder / name).mkdir(parents=True)
        for name, data in {"aes.key": KEY.encode(), **files}.items():
            (folder / "device" / name).write_bytes(data)
        _make_tree(folder / "device" / "target")
        self._make_environments()
        self._make_disk(folder / "device" / f"{DISK}.img")
        with (folder / "device" / f"{BLANK}.img").open("wb") as disk:
            disk.truncate(DISK_SIZE)

    @contextmanager
    def device(self, case: Case) -> Iterator[Device]:
        """A fresh device, as the row needs it; one at a time."""
        folder = self._folder / "copy"
        try:
            _run("cp", "-a", "--sparse=always", self._folder / "device", folder)
            (folder / "fw_env.config").write_text(_environment_config(case.environment, sandbox.HOME))
            versions = "".join(f"{name} {version}\n" for name, version in case.installed.items())
            (folder / VERSIONS).write_text(versions)
            with ExitStack() as attached:
                disks = (DISK, BLANK) if case.blank else (DISK,)
                loops = {name: attached.enter_context(_attached(folder / f"{name}.img")) for name in disks}
                yield Device(folder, case, loops)
        finally:
            shutil.rmtree(folder)

    def _make_environments(self) -> None:
        variables = self._folder / "making" / "variables"
        variables.write_text("boot_slot=a\nbootdelay=2\nold=full\n")
        for name, option in (("redundant.env", ["-r"]), ("single.env", []), ("app.env", [])):
            made = self._folder / "device" / name
            _run("mkenvimage", *option, "-s", str(_ENVIRONMENT_SIZE), "-o", made, variables)
            made.write_bytes(made.read_bytes() * (2 if option else 1))

    def _make_disk(self, disk: Path) -> None:
        """Slots hold noise, so that whatever is written differs from what was there."""
        with disk.open("wb") as file:
            file.truncate(DISK_SIZE)
        script = "label: gpt\nlabel-id: 00000000-0000-4000-8000-000000000000\n" + "".join(
            f"start={part.start // 512}, size={part.size // 512}, type={part.type}, "
            f"uuid={part.uuid}, name={part.name}\n"
            for part in PARTITIONS
        )
        subprocess.run(["sfdisk", "-q", disk], input=script.encode(), check=True, capture_output=True)
        with disk.open("r+b") as file:
            for part in PARTITIONS:
                file.seek(part.start)
                file.write(self._content(part.name, part.size))

    def _content(self, name: str, size: int) -> bytes:
        image = self._folder / "making" / name
        if name == "boot":
            image.write_bytes(bytes(size))
            _run("mkfs.vfat", "--invariant", "-n", "BOOT", image)
        elif name == "data":
            _make_tree(self._folder / "making" / "tree")
            uuid = "55555555-5555-4555-8555-555555555555"
            options = ["-q", "-t", "ext4", "-b", "1024", "-U", uuid, "-L", "data"]
            _run("mke2fs", *options, "-d", self._folder / "making" / "tree", image, f"{size >> 10}k")
        else:
            return noise(name, size)
        return image.read_bytes()


def difference(one: Snapshot, other: Snapshot) -> dict[str, str]:
    """The parts that differ, and where."""
    return {
        part: _where(one.get(part), other.get(part))
        for part in {*one, *other}
        if one.get(part) != other.get(part)
    }


def _where(one: Value | None, other: Value | None) -> str:
    if isinstance(one, bytes) and isinstance(other, bytes):
        pairs = enumerate(zip(one, other, strict=False))
        return f"first at byte {next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))}"
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        return "; ".join(f"{name}: {one.get(name)} / {other.get(name)}" for name in names[:10])
    return f"{type(one).__name__} / {type(other).__name__}"


def _environment_config(environment: Environment, home: Path) -> str:
    """fw_env.config; with namespaces in libubootenv's YAML."""
    size = f"{_ENVIRONMENT_SIZE:#x}"
    if environment is Environment.NAMESPACES:
        entry = "{}:\n  size: {}\n  devices:\n    - path: {}\n      offset: 0x0\n"
        return entry.format("uboot", size, home / "single.env") + entry.format("app", size, home / "app.env")
    if environment is Environment.SINGLE:
        return _plain_config(home / "single.env", copies=1)
    return _plain_config(home / "redundant.env", copies=2)


def _plain_config(file: Path, copies: int) -> str:
    size = _ENVIRONMENT_SIZE
    return "".join(f"{file} {number * size:#x} {size:#x}\n" for number in range(copies))


def _make_tree(folder: Path) -> None:
    """Some files of every kind that an update may meet."""
    for name in ("etc", "bin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "etc" / "app.conf").write_text("old = true\n")
    (folder / "bin" / "tool").write_text("#!/bin/sh\n")
    (folder / "bin" / "tool").chmod(0o4755)
    (folder / "bin" / "link").symlink_to("tool")
    for path in sorted(folder.rglob("*")):
        os.utime(path, (_LONG_AGO, _LONG_AGO), follow_symlinks=False)


@contextmanager
def _attached(image: Path) -> Iterator[Path]:
    """A loop device, with its partitions told to the kernel: not every kernel reads a GPT by itself."""
    command: list[str | Path] = ["losetup", "--find", "--show", "--partscan", image]
    loop = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    try:
        # A loop device may come with the write protection of who had it before.
        _run("blockdev", "--setrw", loop)
        subprocess.run(["partx", "--update", loop], check=False, capture_output=True)  # fails on a blank disk
        yield loop
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


@contextmanager
def _mounted(device: Path, place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    _run("mount", "-o", "ro", device, place)
    try:
        yield place
    finally:
        _run("umount", place)


def _file_system(device: Path, place: Path, began: float) -> dict[str, object]:
    """Its type and label, and every file if this machine's kernel knows the type."""
    command: list[str | Path] = ["blkid", "-p", "-o", "export", "-s", "TYPE", "-s", "LABEL", device]
    words = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
    found: dict[str, object] = dict.fromkeys(word for word in words if not word.startswith("DEVNAME"))
    known = Path("/proc/filesystems").read_text().split()
    if any(word == f"TYPE={name}" for name in known for word in words):
        with _mounted(device, place) as tree:
            found |= _tree(tree, began)
    return found


def _tree(folder: Path, began: float) -> dict[str, object]:
    """Every file: type, mode, owner, time, extended attributes, and what it holds."""
    return {str(path.relative_to(folder)): _file(path, began) for path in sorted(folder.rglob("*"))}


def _file(path: Path, began: float) -> tuple[object, ...]:
    found = path.lstat()
    content: object = found.st_rdev
    if stat.S_ISREG(found.st_mode):
        data = path.read_bytes()
        content = data if len(data) < 200 else hashlib.sha256(data).hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        content = str(path.readlink())
    names = os.listxattr(path, follow_symlinks=False)
    attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    when: str | int = (
        "now" if found.st_mtime >= began - 2 else int(found.st_mtime)
    )  # FAT counts in steps of 2 s
    if stat.S_ISDIR(found.st_mode) and when in ("now", _LONG_AGO):
        when = "any"  # replacing a file changes its folder's, writing into it does not
    return oct(found.st_mode), found.st_uid, found.st_gid, when, attributes, content


def _run(program: str, *arguments: str | Path) -> None:
    subprocess.run([program, *arguments], check=True, capture_output=True)
