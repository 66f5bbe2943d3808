"""Slots and servers in memory, for tests of what is written and fetched, when, and in which order.

And the environments of U-Boot and GRUB, on a medium that is a file.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ota.errors import DeviceError
from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.interfaces import Range

COPY_SIZE = 0x4000  # bytes of each of the two copies of an environment


@dataclass
class Memory:
    """A BlockTarget in memory.

    Attributes:
        broken: where reading fails.
        in_order: whether a write that goes backwards is an error.
        unsynced: (offset, bytes) of what was written since `flush` or `sync`.
    """

    data: bytearray
    broken: Range | None = None
    in_order: bool = False
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    zeroed: list[Range] = field(default_factory=list)
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        if self.broken and offset < self.broken.stop and offset + length > self.broken.start:
            raise DeviceError("slot-unreadable", "bad block")
        if offset + length > self.size:
            raise DeviceError("slot-unreadable", "it ends there")
        return bytes(self.data[offset : offset + length])

    def scan(self, start: int, stop: int) -> Iterator[memoryview]:
        for offset in range(start, stop, 77_777):
            yield memoryview(self.read_at(offset, min(77_777, stop - offset)))

    def write_at(self, offset: int, data: bytes) -> None:
        if self.in_order and self.writes:
            last, written = self.writes[-1]
            assert offset >= last + len(written), f"{offset} after {last}"
        self.data[offset : offset + len(data)] = data
        self.writes.append((offset, data))
        self.unsynced.append((offset, data))

    def zero(self, offset: int, length: int) -> None:
        self.write_at(offset, bytes(length))
        self.zeroed.append(Range(offset, offset + length))

    def flush(self) -> None:
        self.unsynced.clear()

    def sync(self) -> None:
        self.flush()


@dataclass
class Published:
    """A RangeSource over a .zck in memory; what it has asked for ahead counts as received.

    Attributes:
        piece: bytes that come at a time.
        ahead: bytes that are asked for at once; they come in any order.
        chance: shuffles them; None: as they lie in the file.
        lies: so many of the next pieces are wrong.
    """

    file: bytes
    piece: int = 700
    ahead: int = 1 << 20
    chance: random.Random | None = None
    lies: int = 0
    asked: list[Range] = field(default_factory=list)
    received: int = 0
    requests: int = 0

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
        self.asked += ranges
        pieces = [
            Range(offset, min(offset + self.piece, part.stop))
            for part in ranges
            for offset in range(part.start, part.stop, self.piece)
        ]
        step = max(1, self.ahead // self.piece)
        for start in range(0, len(pieces), step):
            window = pieces[start : start + step]
            self.requests += 1
            self.received += sum(map(len, window))
            if self.chance:
                self.chance.shuffle(window)
            for part in window:
                data = self.file[part.start : part.stop]
                if self.lies:
                    self.lies -= 1
                    data = bytes([data[0] ^ 1]) + data[1:]
                yield part.start, data

    def foresee(self, ranges: Sequence[Range]) -> tuple[int, int]:
        step = max(1, self.ahead // self.piece)
        return sum(map(len, ranges)), -(-sum(-(-len(part) // self.piece) for part in ranges) // step)

    def close(self) -> None:
        """Nothing to let go of."""


def header_of(chunks: Sequence[bytes]) -> Header:
    """The manifest of these chunks, stored as they are."""
    return zchunk.parse_manifest(zchunk.render((hashlib.sha256(c).digest(), len(c)) for c in chunks))


def file_of(chunks: Sequence[bytes]) -> bytes:
    """Their .zck."""
    return header_of(chunks).data + b"".join(chunks)


def make_uboot(folder: Path, tool: Callable[[str], Path]) -> Path:
    """Two copies of an environment on a medium, made by U-Boot's own tool; returns fw_env.config."""
    (folder / "variables").write_text("boot_slot=a\nbootcmd=run old\n")
    image: list[str | Path] = ["-r", "-s", hex(COPY_SIZE), "-o", folder / "copy", folder / "variables"]
    subprocess.run([tool("mkenvimage"), *image], check=True, capture_output=True)
    (folder / "medium").write_bytes((folder / "copy").read_bytes() * 2)
    config = folder / "fw_env.config"
    config.write_text("".join(f"{folder}/medium {hex(n * COPY_SIZE)} {hex(COPY_SIZE)}\n" for n in (0, 1)))
    tool("fw_setenv"), tool("fw_printenv")
    return config


def make_grub(folder: Path, tool: Callable[[str], Path]) -> Path:
    """The same variables in a grubenv, made by GRUB's own tool."""
    grubenv = folder / "grubenv"
    for words in (["create"], ["set", "boot_slot=a", "bootcmd=run old"]):
        subprocess.run([tool("grub-editenv"), grubenv, *words], check=True)
    return grubenv


def make_programs(folder: Path, tool: Callable[[str], Path]) -> Path:
    """A folder with fw_printenv and fw_setenv that know namespaces, to be the first on PATH."""
    folder.mkdir(exist_ok=True)
    for name in ("fw_printenv", "fw_setenv"):
        (folder / name).write_text(f'#!/bin/sh\nexec {tool(f"{name}-0.3.5")} "$@"\n')
        (folder / name).chmod(0o755)
    return folder
