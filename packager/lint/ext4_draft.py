"""An ext4 image opened for changes in memory: superblocks, inodes, and what depends on them.

With metadata_csum everything but file data has a crc32c, seeded by the UUID: after a change of it each block
of metadata is another. `seal` writes them all anew, so that a draft is what mke2fs would have made. Offsets
are those of the kernel's documentation (filesystems/ext4), in bytes:

    inode                   0x7C and 0x82: halves; seeded by number and generation
    folder, linear          the last 12 bytes of each block: 0, 12, 0xDE00, checksum
    folder, indexed         behind the room for entries in the root and in nodes
    extent tree             behind the room for entries in each block
    attributes              0x10 in the block
    bitmaps                 halves in the descriptor, 0x18 and 0x38, 0x1A and 0x3A
    group descriptor        0x1E; crc16 with gdt_csum
    orphan file             the last 4 bytes of each block
    superblock              0x3FC
    journal                 0x30 in its first block: the UUID itself
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from packager.lint.checksums import ALL_ONES, crc16, crc32c
from packager.lint.draft import Draft

FIELDS: Final = {
    "inodes": (0x00, 4), "mount time": (0x2C, 4), "write time": (0x30, 4), "check time": (0x40, 4),
    "compatible": (0x5C, 4), "incompatible": (0x60, 4), "read-only": (0x64, 4), "uuid": (0x68, 16),
    "journal inode": (0xE0, 4), "hash seed": (0xEC, 16), "journal backup": (0x10C, 68),
    "creation time": (0x108, 4), "high bits of times": (0x274, 4), "checksum seed": (0x270, 4),
    "first error time": (0x198, 4), "last error time": (0x1CC, 4), "orphan inode": (0x280, 4),
}  # fmt: skip
"""Of the superblock: where and how long."""

JOURNAL: Final = 0x4  # compatible
_GDT_CSUM, _METADATA_CSUM = 0x10, 0x400  # read-only compatible
_64BIT, _CSUM_SEED = 0x80, 0x2000  # incompatible
_SPARSE: Final = 0x1  # read-only compatible
_EXTENTS, _INDEX, _INLINE = 0x80000, 0x1000, 0x10000000  # of an inode
_JOURNAL_MAGIC: Final = b"\xc0\x3b\x39\x98"


class Ext4Draft:
    """A draft whose file system `packager.filesystems` found sound: no features but those it knows."""

    def __init__(self, image: Draft) -> None:
        self.image = image
        self.block = 1024 << self._number(1024 + 0x18)
        self._blocks = self._number(1024 + 0x04)
        self._first = self._number(1024 + 0x14)
        self._group_blocks = self._number(1024 + 0x20)
        self._group_inodes = self._number(1024 + 0x28)
        self.inode_size = self._number(1024 + 0x58, 2)
        self._descriptor = (
            (self._number(1024 + 0xFE, 2) or 32) if self.number("incompatible") & _64BIT else 32
        )
        self._groups = -(-(self._blocks - self._first) // self._group_blocks)

    def field(self, name: str) -> bytes:
        """A field of the superblock."""
        offset, size = FIELDS[name]
        return self.image[1024 + offset : 1024 + offset + size]

    def number(self, name: str) -> int:
        return int.from_bytes(self.field(name), "little")

    def set_field(self, name: str, value: bytes) -> None:
        """Change a field in all copies of the superblock."""
        offset, size = FIELDS[name]
        assert len(value) == size, name
        for at in self._superblocks():
            self.image[at + offset : at + offset + size] = value

    def inode_at(self, number: int) -> int:
        """Where in the image an inode stands."""
        group, index = divmod(number - 1, self._group_inodes)
        return self._pointer(group, 0x08, 0x28) * self.block + index * self.inode_size

    def inodes(self) -> Iterator[tuple[int, int]]:
        """(number, offset) of all that are not blank."""
        blank = bytes(self.inode_size)
        for group in range(self._groups):
            at = self._pointer(group, 0x08, 0x28) * self.block
            for index in range(self._group_inodes):
                offset = at + index * self.inode_size
                if self.image[offset : offset + self.inode_size] != blank:
                    yield group * self._group_inodes + index + 1, offset

    def set_size(self, number: int, size: int) -> None:
        """Change the size of a file below 4 GiB."""
        self._put(self.inode_at(number) + 0x04, size)

    def inode_room(self, at: int) -> int:
        """How many bytes of an inode have a meaning."""
        return 128 + (self._number(at + 0x80, 2) if self.inode_size > 128 else 0)

    def is_indexed(self, number: int) -> bool:
        """Whether the names of a folder are sorted by their hashes."""
        return bool(self._number(self.inode_at(number) + 0x20) & _INDEX)

    def blocks(self, number: int) -> list[int]:
        """Which blocks an inode has, in their order in the file."""
        return self._tree(number)[1]

    def take_block(self, block: int) -> bytes:
        return self._bytes(block, self.block)

    def put_block(self, block: int, data: bytes) -> None:
        assert len(data) == self.block
        self.image[block * self.block : (block + 1) * self.block] = data

    def seal(self) -> None:
        """Write anew what depends on other bytes: checksums, the journal's UUID, copies of descriptors."""
        if self.number("read-only") & _METADATA_CSUM:
            for number, at in self.inodes():
                self._seal_inode(number, at)
            for group in range(self._groups):
                self._seal_bitmaps(group)
        self._seal_journal()
        for group in range(self._groups):
            self._seal_descriptor(group)
        size = self._groups * self._descriptor
        first, *copies = self._superblocks()
        for at in copies:
            to = at + self.block
            self.image[to : to + size] = self.image[self._descriptors() : self._descriptors() + size]
        if self.number("read-only") & _METADATA_CSUM:
            for at in (first, *copies):
                self._put(at + 0x3FC, crc32c(ALL_ONES, self.image[at : at + 0x3FC]))

    # Places

    def _number(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self.image[at : at + size], "little")

    def _put(self, at: int, value: int, size: int = 4) -> None:
        self.image[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def _superblocks(self) -> list[int]:
        sparse = bool(self.number("read-only") & _SPARSE)
        groups = [group for group in range(self._groups) if not sparse or _has_copy(group)]
        return [1024] + [(self._first + group * self._group_blocks) * self.block for group in groups if group]

    def _descriptors(self) -> int:
        return (self._first + 1) * self.block

    def _descriptor_at(self, group: int) -> int:
        return self._descriptors() + group * self._descriptor

    def _pointer(self, group: int, low: int, high: int) -> int:
        at = self._descriptor_at(group)
        return self._number(at + low) | (self._number(at + high) << 32 if self._descriptor >= 64 else 0)

    # Checksums

    def _seed(self) -> int:
        if self.number("incompatible") & _CSUM_SEED:
            return self.number("checksum seed")
        return crc32c(ALL_ONES, self.field("uuid"))

    def _seal_descriptor(self, group: int) -> None:
        at = self._descriptor_at(group)
        features = self.number("read-only")
        data = self.image[at : at + self._descriptor]
        if features & _METADATA_CSUM:
            blank = data[:0x1E] + b"\0\0" + data[0x20:]
            self._put(at + 0x1E, crc32c(self._seed(), struct.pack("<I", group) + blank), 2)
        elif features & _GDT_CSUM:
            covered = self.field("uuid") + struct.pack("<I", group) + data[:0x1E] + data[0x20:]
            self._put(at + 0x1E, crc16(ALL_ONES >> 16, covered), 2)

    def _seal_journal(self) -> None:
        if self.number("compatible") & JOURNAL and (number := self.number("journal inode")):
            at = self.blocks(number)[0] * self.block
            if self.image[at : at + 4] == _JOURNAL_MAGIC:
                self.image[at + 0x30 : at + 0x40] = self.field("uuid")

    def _seal_bitmaps(self, group: int) -> None:
        at = self._descriptor_at(group)
        rows = ((0x00, 0x20, self._group_blocks, 0x18, 0x38), (0x04, 0x24, self._group_inodes, 0x1A, 0x3A))
        for low, high, bits, checksum_low, checksum_high in rows:
            if not self._number(at + checksum_low, 2):  # of a group that nobody used: not computed
                continue
            start = self._pointer(group, low, high) * self.block
            checksum = crc32c(self._seed(), self.image[start : start + bits // 8])
            self._put(at + checksum_low, checksum, 2)
            if self._descriptor >= 64:
                self._put(at + checksum_high, checksum >> 16, 2)

    def _seal_inode(self, number: int, at: int) -> None:
        data = bytearray(self.image[at : at + self.inode_size])
        seed = crc32c(self._seed(), struct.pack("<I", number) + data[0x64:0x68])
        flags = int.from_bytes(data[0x20:0x24], "little")
        is_folder = data[1] & 0xF0 == 0x40
        nodes, blocks = self._tree(number) if is_folder or flags & _EXTENTS else ([], [])
        for node in nodes if flags & _EXTENTS else ():
            room = 12 + 12 * self._number(node * self.block + 4, 2)
            self._put(node * self.block + room, crc32c(seed, self._bytes(node, room)))
        if is_folder and not flags & _INLINE:
            for block in blocks:
                self._seal_folder(block, seed, bool(flags & _INDEX))
        if number == self.number("orphan inode"):
            for block in blocks:
                covered = struct.pack("<Q", block) + self._bytes(block, self.block - 8)
                self._put((block + 1) * self.block - 4, crc32c(seed, covered))
        if attributes := self._number(at + 0x68) | self._number(at + 0x76, 2) << 32:
            self._put(attributes * self.block + 0x10, 0)
            covered = struct.pack("<Q", attributes) + self._bytes(attributes, self.block)
            self._put(attributes * self.block + 0x10, crc32c(self._seed(), covered))
        has_high = self.inode_size > 128 and data[0x80] >= 4
        data[0x7C:0x7E] = b"\0\0"
        if has_high:
            data[0x82:0x84] = b"\0\0"
        checksum = crc32c(seed, bytes(data))
        self._put(at + 0x7C, checksum, 2)
        if has_high:
            self._put(at + 0x82, checksum >> 16, 2)

    def _seal_folder(self, block: int, seed: int, is_indexed: bool) -> None:
        at, size = block * self.block, self.block
        if self.image[at + size - 12 : at + size - 4] == b"\0\0\0\0\x0c\0\0\xde":
            self._put(at + size - 4, crc32c(seed, self._bytes(block, size - 12)))
        elif is_indexed:
            # A root has "." and "..", then 8 bytes; a node one entry that spans the block.
            entries = 0x08 if self._number(at + 4, 2) == size else 0x20
            limit, count = self._number(at + entries, 2), self._number(at + entries + 2, 2)
            tail = at + entries + 8 * limit
            covered = self._bytes(block, entries + 8 * count) + self.image[tail : tail + 4] + bytes(4)
            self._put(tail + 4, crc32c(seed, covered))

    def _tree(self, number: int) -> tuple[list[int], list[int]]:
        """Blocks of the tree itself, and those that it names."""
        at = self.inode_at(number)
        flags, root = self._number(at + 0x20), self.image[at + 0x28 : at + 0x64]
        nodes: list[int] = []
        if flags & _EXTENTS:
            return nodes, list(self._extents(root, nodes))
        numbers = struct.unpack("<15I", root)
        mapped = [self._mapped(block, max(0, index - 11), nodes) for index, block in enumerate(numbers)]
        return nodes, [block for blocks in mapped for block in blocks]

    def _extents(self, data: bytes, nodes: list[int]) -> Iterator[int]:
        _, count, _, depth = struct.unpack_from("<4H", data)
        for at in range(12, 12 + 12 * count, 12):
            _, length, high, low = struct.unpack_from("<IHHI", data, at)
            if depth == 0:
                start = low | high << 32
                yield from range(start, start + (length - 0x8000 if length > 0x8000 else length))
            else:
                low, high = struct.unpack_from("<IH", data, at + 4)
                nodes.append(low | high << 32)
                yield from self._extents(self._bytes(nodes[-1], self.block), nodes)

    def _mapped(self, block: int, depth: int, nodes: list[int]) -> Iterator[int]:
        if block and depth == 0:
            yield block
        elif block:
            nodes.append(block)
            for below in struct.unpack(f"<{self.block // 4}I", self._bytes(block, self.block)):
                yield from self._mapped(below, depth - 1, nodes)

    def _bytes(self, block: int, size: int) -> bytes:
        return self.image[block * self.block : block * self.block + size]


def _has_copy(group: int) -> bool:
    def is_power(base: int) -> bool:
        power = base
        while power < group:
            power *= base
        return power == group

    return group <= 1 or is_power(3) or is_power(5) or is_power(7)
