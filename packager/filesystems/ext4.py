"""ext4, as mke2fs makes it; ext2 and ext3 too (kernel documentation, filesystems/ext4).

    byte 1024   superblock: magic 0xEF53 at 0x38
    next block  group descriptors, 32 or 64 bytes each: where a group's bitmaps and inode table lie
    per group   in groups that hold copies: superblock, descriptors, room for more of them

Only what the features below mean can be read; others make "filesystem-unknown". No block belongs to two
owners, so that all that is read together is not more than the image.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packager.filesystems.ext4_inodes import Inode, Runs, inline_data, parse, runs
from packager.filesystems.image import Image, text
from packager.filesystems.layout import FREE, PIECE, UNACCOUNTED, Extent, File, Kind, Layout, whole, zeros

MAGIC_AT: Final = 1024 + 0x38
MAGIC: Final = b"\x53\xef"

_SUPERBLOCK: Final = struct.Struct("<II12xIII4xI4xI16xH10xHI4xHHIII")
_ROOT: Final = 2  # inodes
_RESIZE: Final = 7

_SPARSE_SUPER2: Final = 0x200  # compatible
_INCOMPATIBLE: Final = {
    0x2: "filetype", 0x40: "extents", 0x80: "64bit", 0x100: "mmp", 0x200: "flex_bg", 0x400: "ea_inode",
    0x2000: "metadata_csum_seed", 0x4000: "large_dir", 0x8000: "inline_data", 0x20000: "casefold",
}  # fmt: skip
_READ_ONLY: Final = {
    0x1: "sparse_super", 0x2: "large_file", 0x4: "btree_dir", 0x8: "huge_file", 0x10: "uninit_bg",
    0x20: "dir_nlink", 0x40: "extra_isize", 0x100: "quota", 0x400: "metadata_csum", 0x1000: "read-only",
    0x2000: "project", 0x8000: "verity", 0x10000: "orphan_present",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Super:
    inodes: int
    blocks: int
    first: int  # the first block of group 0
    block: int  # bytes
    group_blocks: int
    group_inodes: int
    inode_size: int  # bytes
    descriptor_size: int  # bytes
    reserved_descriptors: int  # blocks
    sparse: bool
    copies: tuple[int, int] | None  # sparse_super2: the groups with copies
    journal: int  # inodes; 0: none
    quotas: tuple[int, ...]
    orphans: int
    mmp: int  # a block; 0: none

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first) // self.group_blocks)

    def has_copy(self, group: int) -> bool:
        """Whether a group holds superblock and descriptors."""
        if self.copies is not None:
            return group == 0 or group in self.copies
        return not self.sparse or group in (0, 1) or any(_is_power(group, base) for base in (3, 5, 7))


class Ext4:
    """An ext4 image."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._super = _superblock(image)
        self._extents: list[Extent] = []
        self._claimed = 0  # blocks
        self._inodes: dict[int, Inode] = {}
        self._runs: dict[int, Runs] = {}
        self._shared: set[int] = set()  # blocks of attributes, which inodes share
        self._groups = [self._descriptor(group) for group in range(self._super.groups)]
        self._claim_groups()
        for number, name, kind in self._hidden():
            self._open(number, name, kind)
        # The first of several names owns the blocks, in whatever order a folder holds them.
        self.files = tuple(self._file(path, number) for path, number in sorted(self._walk()))

    def layout(self) -> Layout:
        used = sorted(self._extents)
        return whole(self._image, "ext4", [*used, *self._unaccounted(used)], has_bitmap=True)

    def content(self, file: File) -> Iterator[bytes]:
        return self._content(self._inodes[file.inode])

    def _content(self, inode: Inode) -> Iterator[bytes]:
        if inode.is_inline:
            data = inline_data(inode)[: inode.size]
            yield data
            yield from zeros(inode.size - len(data))  # mke2fs keeps files of zeros so
            return
        block, reached = self._super.block, 0
        for first, start, count, is_written in sorted(self._runs[inode.number]):
            if first * block >= inode.size:
                break
            yield from zeros(first * block - reached)
            reached = min((first + count) * block, inode.size)
            size = reached - first * block
            if not is_written:
                yield from zeros(size)
                continue
            for offset in range(0, size, PIECE):
                at = start * block + offset
                yield self._image.take(at, min(PIECE, size - offset), f"inode {inode.number}")
        yield from zeros(inode.size - reached)

    # Groups

    def _descriptor(self, group: int) -> tuple[int, int, int, int]:
        """Block bitmap, inode bitmap, inode table (blocks), flags."""
        sb = self._super
        at = (sb.first + 1) * sb.block + group * sb.descriptor_size
        data = self._image.take(at, sb.descriptor_size, f"descriptor of group {group}")
        block_bitmap, inode_bitmap, table, flags = struct.unpack_from("<III6xH", data)
        if sb.descriptor_size >= 64:
            high = struct.unpack_from("<III", data, 0x20)
            block_bitmap += high[0] << 32
            inode_bitmap += high[1] << 32
            table += high[2] << 32
        return block_bitmap, inode_bitmap, table, flags

    def _claim_groups(self) -> None:
        sb = self._super
        # What starts the machine, where such is used.
        self._extents.append(Extent(0, 1024, "boot block", Kind.METADATA))
        descriptors = -(-sb.groups * sb.descriptor_size // sb.block)
        table = -(-sb.group_inodes * sb.inode_size // sb.block)
        for group, (block_bitmap, inode_bitmap, inodes, _) in enumerate(self._groups):
            if sb.has_copy(group):
                at = sb.first + group * sb.group_blocks
                self._claim(at, 1, "superblock")
                self._claim(at + 1, descriptors, "group descriptors")
                self._claim(at + 1 + descriptors, sb.reserved_descriptors, "reserved group descriptors")
            self._claim(block_bitmap, 1, "block bitmaps")
            self._claim(inode_bitmap, 1, "inode bitmaps")
            self._claim(inodes, table, "inode tables")
        if sb.mmp:
            self._claim(sb.mmp, 1, "multiple mount protection")

    def _claim(self, start: int, count: int, owner: str, kind: Kind = Kind.METADATA) -> None:
        if count <= 0:
            return
        sb = self._super
        self._claimed += count
        if start + count > sb.blocks or self._claimed > sb.blocks:
            raise self._image.damaged(f"{owner}: {count} blocks from {start} on", expected=f"of {sb.blocks}")
        at = max(start * sb.block, 1024)
        self._extents.append(Extent(at, (start + count) * sb.block, owner, kind))

    def _unaccounted(self, used: list[Extent]) -> Iterator[Extent]:
        """What bitmaps say is in use, of what is in nobody's extents."""
        sb = self._super
        reached = sb.first * sb.block
        end = Extent(sb.blocks * sb.block, sb.blocks * sb.block, FREE, Kind.FREE)
        for extent in [*used, end]:
            if extent.start > reached:
                yield from self._in_use(-(-reached // sb.block), extent.start // sb.block)
            reached = max(reached, extent.stop)

    def _in_use(self, start: int, stop: int) -> Iterator[Extent]:
        """Runs of blocks in [start, stop) whose bits are set."""
        sb = self._super
        for group in range((start - sb.first) // sb.group_blocks, -(-(stop - sb.first) // sb.group_blocks)):
            if self._groups[group][3] & 0x2:  # BLOCK_UNINIT: the bitmap was never written
                continue
            base = sb.first + group * sb.group_blocks
            bits = self._bitmap(group)
            low, high = max(start, base) - base, min(stop, base + sb.group_blocks) - base
            bits = (bits >> low) & ((1 << (high - low)) - 1)
            at = base + low
            while bits:
                clear = (bits & -bits).bit_length() - 1
                bits >>= clear
                count = (~bits & (bits + 1)).bit_length() - 1
                bits >>= count
                at += clear
                yield Extent(at * sb.block, (at + count) * sb.block, UNACCOUNTED, Kind.METADATA)
                at += count

    def _bitmap(self, group: int) -> int:
        sb = self._super
        data = self._image.take(self._groups[group][0] * sb.block, sb.group_blocks // 8, "block bitmap")
        return int.from_bytes(data, "little")

    # Inodes and names

    def _hidden(self) -> Iterator[tuple[int, str, Kind]]:
        """Inodes without a path."""
        sb = self._super
        yield 1, "bad blocks", Kind.METADATA
        if sb.journal:
            yield sb.journal, "journal", Kind.JOURNAL
        for number in sb.quotas:
            yield number, "quotas", Kind.METADATA
        if sb.orphans:
            yield sb.orphans, "orphan file", Kind.METADATA
        resize = self._inode(_RESIZE)
        if sb.reserved_descriptors and (block := struct.unpack_from("<I", resize.block, 13 * 4)[0]):
            self._claim(block, 1, "reserved group descriptors")  # its data were claimed with the groups

    def _inode(self, number: int) -> Inode:
        sb = self._super
        if not 1 <= number <= sb.inodes:
            raise self._image.damaged(f"inode {number}", expected=f"1 to {sb.inodes}")
        group, index = divmod(number - 1, sb.group_inodes)
        at = self._groups[group][2] * sb.block + index * sb.inode_size
        return parse(number, self._image.take(at, sb.inode_size, f"inode {number}"))

    def _open(self, number: int, owner: str, kind: Kind) -> Inode:
        """An inode whose blocks are claimed for their owner, once."""
        if number in self._inodes:
            return self._inodes[number]
        inode = self._inodes[number] = self._inode(number)
        if inode.attributes and inode.attributes not in self._shared:
            self._shared.add(inode.attributes)
            self._claim(inode.attributes, 1, "extended attributes")
        if not inode.has_blocks:
            self._runs[number] = []
            return inode
        found, nodes = runs(self._image, inode, self._super.block, self._super.blocks)
        for block in nodes:
            self._claim(block, 1, "extent trees")
        for _, start, count, _ in found:
            self._claim(start, count, owner, kind)
        self._runs[number] = found
        return inode

    def _walk(self) -> Iterator[tuple[str, int]]:
        """(path, inode) of everything; folders are opened on the way."""
        yield "/", _ROOT
        pending, seen = [("/", _ROOT)], {_ROOT}
        while pending:
            folder, number = pending.pop()
            for name, child in self._names(self._open(number, folder, Kind.DIRECTORY)):
                path = folder.rstrip("/") + "/" + text(name)
                yield path, child
                if stat.S_ISDIR(self._inode(child).mode):
                    if child in seen:
                        raise self._image.damaged(f"the folder {path} has two names")
                    seen.add(child)
                    pending.append((path, child))

    def _file(self, path: str, number: int) -> File:
        inode = self._open(number, path, Kind.FILE)
        target = None
        if stat.S_ISLNK(inode.mode):
            quick = inode.block[: inode.size] if not inode.has_blocks and not inode.is_inline else None
            target = text(quick if quick is not None else b"".join(self._content(inode)))
        return File(path, inode.number, inode.mode, inode.uid, inode.gid, inode.size, inode.mtime, target)

    def _names(self, inode: Inode) -> Iterator[tuple[bytes, int]]:
        """(name, inode) of what is in a folder. A hash tree's inner blocks look like empty entries."""
        if inode.is_inline:  # four bytes for "..", then entries
            data = inline_data(inode)
            yield from self._entries(inode, data[4:60])
            yield from self._entries(inode, data[60:])
            return
        block = self._super.block
        for _, start, count, _ in self._runs[inode.number]:
            data = self._image.take(start * block, count * block, f"folder, inode {inode.number}")
            for at in range(0, len(data), block):
                yield from self._entries(inode, data[at : at + block])

    def _entries(self, inode: Inode, data: bytes) -> Iterator[tuple[bytes, int]]:
        """    inode 4 | length of entry 2 | length of name 1 | type 1 | name"""  # fmt: skip
        at = 0
        while at + 8 <= len(data):
            number, length, name_length = struct.unpack_from("<IHB", data, at)
            if self._super.block == 1 << 16 and length in (0, 0xFFFF):
                length = 1 << 16
            if length < 8 or at + length > len(data) or name_length > length - 8:
                raise self._image.damaged(f"entry at {at} of the folder with inode {inode.number}")
            name = data[at + 8 : at + 8 + name_length]
            if number and name not in (b".", b".."):
                if not name or b"/" in name or b"\0" in name:
                    raise self._image.damaged(f"a name in the folder with inode {inode.number}", found=name)
                yield name, number
            at += length


def _superblock(image: Image) -> _Super:
    """0x0 inodes, blocks, 0x14 first block, log block size, 0x20 blocks and 0x28 inodes per group, 0x4C
    revision, 0x58 inode size, 0x5C features; the rest beyond."""
    data = image.take(1024, 1024, "superblock")

    def number(at: int, form: str = "I") -> int:
        value: int = struct.unpack_from(f"<{form}", data, at)[0]
        return value

    compatible, incompatible, read_only = (number(at) for at in (0x5C, 0x60, 0x64))
    if incompatible & 0x4:
        raise image.damaged("its journal was not replayed: it was mounted, and not taken off; run e2fsck -p")
    for bits, known in ((incompatible, _INCOMPATIBLE), (read_only, _READ_ONLY)):
        if odd := bits & ~sum(known):
            raise image.unknown(f"an ext4 feature that is not known here: {odd:#x}")
    is_64bit = bool(incompatible & 0x80)
    is_dynamic = number(0x4C) > 0  # the revision
    result = _Super(
        inodes=number(0x0),
        blocks=number(0x4) + (number(0x150) << 32 if is_64bit else 0),
        first=number(0x14),
        block=1024 << min(number(0x18), 32),
        group_blocks=number(0x20),
        group_inodes=number(0x28),
        inode_size=number(0x58, "H") if is_dynamic else 128,
        descriptor_size=number(0xFE, "H") if is_64bit else 32,
        reserved_descriptors=number(0xCE, "H") if compatible & 0x10 else 0,
        sparse=bool(read_only & 0x1),
        copies=(number(0x24C), number(0x250)) if compatible & _SPARSE_SUPER2 else None,
        journal=number(0xE0) if compatible & 0x4 else 0,
        quotas=tuple(n for n in (number(0x240), number(0x244), number(0x26C)) if n)
        if read_only & 0x100
        else (),
        orphans=number(0x280) if compatible & 0x1000 else 0,
        mmp=number(0x168, "Q") if incompatible & 0x100 else 0,
    )
    _check(image, result)
    return result


def _check(image: Image, sb: _Super) -> None:
    sound = (
        sb.block in (1 << power for power in range(10, 17))
        and 0 < sb.group_blocks <= 8 * sb.block
        and sb.group_blocks % 8 == 0
        and sb.group_inodes > 0
        and 128 <= sb.inode_size <= sb.block
        and sb.descriptor_size in (32, 64)
        and sb.first == (1 if sb.block == 1024 else 0)
        and sb.first < sb.blocks
        and sb.groups * sb.group_inodes == sb.inodes
    )
    if not sound:
        raise image.damaged("the ext4 superblock contradicts itself")
    if sb.blocks * sb.block > image.size:
        raise image.damaged("the image is cut short", expected=sb.blocks * sb.block, found=image.size)


def _is_power(number: int, base: int) -> bool:
    while number > 1 and number % base == 0:
        number //= base
    return number == 1
