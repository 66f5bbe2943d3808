"""ext4's inodes: what they say, and which blocks they have (kernel documentation, filesystems/ext4/inodes).

0x00 mode | 0x02 uid | 0x04 size | 0x10 mtime | 0x18 gid | 0x20 flags | 0x28 60 bytes: the root of an
extent tree, block numbers, a link's target, or small files | 0x68 block of attributes | 0x6C size, high
0x74 high halves of blocks, attributes, uid, gid | 0x80 bytes that follow | 0x88 mtime, high bits | attributes
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from typing import Final

from packager.filesystems.image import Image

Runs = list[tuple[int, int, int, bool]]
"""(first block in the file, first block in the image, how many, whether they were written: else zeros)."""

_FIELDS: Final = struct.Struct("<HHI8xI4xH6xI4x60s4xII4x2xHHH")
_EXTENTS, _INLINE = 0x80000, 0x10000000  # flags
_MAX_DEPTH: Final = 5  # of an extent tree; the kernel's bound


@dataclass(frozen=True, slots=True)
class Inode:
    """One inode."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int  # bytes
    mtime: int
    flags: int
    block: bytes  # the 60
    attributes: int  # block; 0: none
    rest: bytes  # from byte 128 on

    @property
    def is_inline(self) -> bool:
        """Whether its content stands in the inode itself."""
        return bool(self.flags & _INLINE)

    @property
    def has_blocks(self) -> bool:
        """Whether `runs` has something to tell."""
        if self.is_inline:
            return False
        if stat.S_ISLNK(self.mode):
            return bool(self.flags & _EXTENTS) or self.size >= len(self.block)
        return stat.S_ISREG(self.mode) or stat.S_ISDIR(self.mode) or self.mode == 0  # 0: bad blocks


def parse(number: int, data: bytes) -> Inode:
    """An inode from its bytes, at least 128."""
    mode, uid, size, mtime, gid, flags, block, attributes, size_high, attributes_high, uid_high, gid_high = (
        _FIELDS.unpack_from(data)
    )
    mtime -= (mtime & 0x80000000) << 1  # signed
    rest = data[128:]
    if len(rest) >= 12 and struct.unpack_from("<H", rest)[0] >= 12:
        mtime += (struct.unpack_from("<I", rest, 8)[0] & 3) << 32
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        size_high = 0
    return Inode(
        number=number,
        mode=mode,
        uid=uid | uid_high << 16,
        gid=gid | gid_high << 16,
        size=size | size_high << 32,
        mtime=mtime,
        flags=flags,
        block=block,
        attributes=attributes | attributes_high << 32,
        rest=rest,
    )


def inline_data(inode: Inode) -> bytes:
    """What stands in the inode: its 60 bytes, and the attribute `system.data` behind them.

    name length 1 | name index 1 | value offset 2 | value inode 4 | value size 4 | hash 4 | name
    """
    rest = inode.rest
    at = struct.unpack_from("<H", rest)[0] if len(rest) >= 2 else 0
    if len(rest) < at + 4 or struct.unpack_from("<I", rest, at)[0] != 0xEA020000:
        return inode.block
    first = at = at + 4
    while at + 16 <= len(rest) and rest[at]:
        name_length, index, offset, _, size = struct.unpack_from("<BBHII", rest, at)
        if index == 7 and rest[at + 16 : at + 16 + name_length] == b"data":
            return inode.block + rest[first + offset : first + offset + size]
        at += 16 + (name_length + 3 & ~3)
    return inode.block


def runs(image: Image, inode: Inode, block: int, blocks: int) -> tuple[Runs, list[int]]:
    """Which blocks an inode has, and in which the tree itself stands.

    Args:
        block: bytes of one.
        blocks: how many the file system has; more is damage.

    Raises:
        ConfigError: "image-unreadable".
    """
    found: Runs = []
    nodes: list[int] = []
    if inode.flags & _EXTENTS:
        _extents(image, inode, inode.block, None, block, blocks, found, nodes)
    else:
        _block_map(image, inode, block, blocks, found, nodes)
    if sum(count for _, _, count, _ in found) + len(nodes) > blocks:
        raise image.damaged(f"inode {inode.number} has more blocks than there are")
    return found, nodes


def _extents(
    image: Image,
    inode: Inode,
    data: bytes,
    depth: int | None,
    block: int,
    blocks: int,
    found: Runs,
    nodes: list[int],
) -> None:
    """magic 2 | entries 2 | at most 2 | depth 2 | generation 4, then 12 bytes an entry."""
    magic, entries, _, own_depth = struct.unpack_from("<HHHH", data)
    if (
        magic != 0xF30A
        or own_depth > _MAX_DEPTH
        or 12 + 12 * entries > len(data)
        or depth not in (None, own_depth)
    ):
        raise image.damaged(f"extent tree of inode {inode.number}")
    for at in range(12, 12 + 12 * entries, 12):
        if own_depth == 0:
            first, count, high, low = struct.unpack_from("<IHHI", data, at)
            is_written = count <= 0x8000
            found.append((first, low | high << 32, count if is_written else count - 0x8000, is_written))
            continue
        low, high = struct.unpack_from("<IH", data, at + 4)
        node = low | high << 32
        nodes.append(node)
        if len(nodes) > blocks:
            raise image.damaged(f"extent tree of inode {inode.number} has no end")
        below = image.take(node * block, block, f"extent tree of inode {inode.number}")
        _extents(image, inode, below, own_depth - 1, block, blocks, found, nodes)


def _block_map(image: Image, inode: Inode, block: int, blocks: int, found: Runs, nodes: list[int]) -> None:
    """Twelve block numbers, then trees of them, one, two and three blocks deep. 0 is a hole."""
    numbers = struct.unpack("<15I", inode.block)
    per_block = block // 4
    pending = [(index, 0, number) for index, number in enumerate(numbers[:12])]
    first = 12
    for depth, number in enumerate(numbers[12:], 1):
        pending.append((first, depth, number))
        first += per_block**depth
    pending.reverse()
    while pending:
        first, depth, number = pending.pop()
        if number == 0:
            continue
        if depth == 0:
            _append(found, first, number)
        else:
            nodes.append(number)
            data = image.take(number * block, block, f"block map of inode {inode.number}")
            step = per_block ** (depth - 1)
            below = struct.unpack(f"<{per_block}I", data)
            pending += [(first + i * step, depth - 1, n) for i, n in enumerate(below) if n][::-1]
        if len(found) + len(nodes) > blocks:
            raise image.damaged(f"block map of inode {inode.number} has no end")


def _append(found: Runs, first: int, number: int) -> None:
    if found:
        last, start, count, _ = found[-1]
        if (last + count, start + count) == (first, number):
            found[-1] = (last, start, count + 1, True)
            return
    found.append((first, number, 1, True))
