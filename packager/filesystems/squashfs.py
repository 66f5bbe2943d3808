"""squashfs 4.0 (kernel documentation, filesystems/squashfs; "Squashfs Binary Format" of squashfs-tools-ng).

    superblock 96 | compressor options | data blocks and fragment blocks | inode table | directory table |
    fragment table | export table | id table | xattr table

A file is blocks, compressed one by one, and maybe a tail that shares a fragment block with other tails. The
coded bytes of a fragment block are divided among its tails by their plain sizes.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from packager.filesystems.decompress import BY_NAME
from packager.filesystems.image import Image, text
from packager.filesystems.layout import MAX_FILES, Extent, File, Kind, Layout, whole
from packager.filesystems.squashfs_tables import NONE, Place, Table, lookup

MAGIC: Final = b"hsqs"

_SUPERBLOCK: Final = struct.Struct("<4x4I6H8Q")
_COMPRESSORS: Final = {1: "gzip", 2: "lzma", 4: "xz", 5: "lz4", 6: "zstd"}
_MAX_BLOCKS: Final = 1 << 24  # of all files; 2 TiB at the usual 128 KiB
_NO_FRAGMENT: Final = 0xFFFF_FFFF
_NOT_COMPRESSED: Final = 1 << 24

_HEAD: Final = struct.Struct("<4H2I")  # type, mode, uid and gid (places in the id table), mtime, number
_FOLDER, _LONG_FOLDER = struct.Struct("<2I2HI"), struct.Struct("<4I2HI")
_FILE, _LONG_FILE = struct.Struct("<4I"), struct.Struct("<3Q4I")
_LINK: Final = struct.Struct("<2I")
_LISTING, _NAME = struct.Struct("<3I"), struct.Struct("<HhHH")
_MODES: Final = (
    stat.S_IFDIR,
    stat.S_IFREG,
    stat.S_IFLNK,
    stat.S_IFBLK,
    stat.S_IFCHR,
    stat.S_IFIFO,
    stat.S_IFSOCK,
)


@dataclass(frozen=True, slots=True)
class _Data:
    """Where a file's bytes lie."""

    start: int  # bytes; of the first block
    blocks: tuple[int, ...]  # coded lengths, with _NOT_COMPRESSED; 0 is a block of zeros
    fragment: int  # number, or _NO_FRAGMENT
    offset: int  # of the tail in the plain fragment


class Squashfs:
    """A squashfs image."""

    def __init__(self, image: Image) -> None:
        self._image = image
        (
            self._inodes, _, self._block, self._fragments, compressor, _, flags, ids, major, minor,
            root, self._used, *self._tables,
        ) = image.unpack(_SUPERBLOCK, 0, "superblock")  # fmt: skip
        if (major, minor) != (4, 0):
            raise image.unknown(f"squashfs {major}.{minor}")
        if compressor not in _COMPRESSORS:
            raise image.unknown(f"a squashfs compressor that is not known here: {compressor}")
        if self._block not in (1 << power for power in range(12, 21)) or not 96 <= self._used <= image.size:
            raise image.damaged("the squashfs superblock contradicts itself, or the image is cut short")
        self._decompress = BY_NAME[_COMPRESSORS[compressor]]
        self._fragment = lru_cache(4)(self._read_fragment)
        self._sections = [Extent(0, 96, "superblock", Kind.METADATA)]
        if flags & 0x400:
            (head,) = struct.unpack("<H", image.take(96, 2, "compressor options"))
            self._sections.append(Extent(96, 98 + (head & 0x7FFF), "compressor options", Kind.METADATA))
        self._read_tables(ids)
        self._data: dict[int, _Data] = {}
        self._blocks = 0
        self.files = tuple(sorted(self._walk(Place(root >> 16, root & 0xFFFF)), key=lambda file: file.path))

    def layout(self) -> Layout:
        return whole(self._image, "squashfs", [*self._sections, *self._blocks_of_files(), *self._tails()])

    def content(self, file: File) -> Iterator[bytes]:
        data, left = self._data[file.inode], file.size
        at = data.start
        for coded in data.blocks:
            size = min(self._block, left)
            yield self._plain(at, coded, size) if coded else bytes(size)
            at += coded & ~_NOT_COMPRESSED
            left -= size
        if left:
            plain = self._fragment(data.fragment)
            if data.offset + left > len(plain):
                raise self._image.damaged(f"{file.path}: its tail lies behind its fragment")
            yield plain[data.offset : data.offset + left]

    def _plain(self, at: int, coded: int, size: int) -> bytes:
        data = self._image.take(at, coded & ~_NOT_COMPRESSED, "a block of data")
        with self._image.reading():
            plain = data if coded & _NOT_COMPRESSED else self._decompress(data, self._block)
        if len(plain) != size:
            raise self._image.damaged(f"a block of data at {at}", expected=f"{size} bytes", found=len(plain))
        return plain

    # Tables

    def _read_tables(self, ids: int) -> None:
        id_table, xattr_table, inode_table, directory_table, fragment_table, export_table = self._tables
        image, decompress = self._image, self._decompress
        data, first_id = lookup(image, decompress, id_table, ids, 4, "id table")
        self._ids = struct.unpack(f"<{ids}I", data[: 4 * ids])
        sections = [
            (inode_table, directory_table, "inode table"),
            (first_id, id_table + 8 * -(-ids * 4 // 8192), "id table"),
        ]
        self._fragment_table = b""
        if fragment_table != NONE and self._fragments:
            data, first = lookup(image, decompress, fragment_table, self._fragments, 16, "fragment table")
            self._fragment_table = data
            blocks = -(-self._fragments * 16 // 8192)
            sections.append((first, fragment_table + 8 * blocks, "fragment table"))
        if export_table != NONE:
            _, first = lookup(image, decompress, export_table, self._inodes, 8, "export table")
            sections.append((first, export_table + 8 * -(-self._inodes * 8 // 8192), "export table"))
        if xattr_table != NONE:
            (first,) = struct.unpack("<Q", image.take(xattr_table, 8, "xattr table"))
            sections.append((first, self._used, "xattr table"))
        behind = min([start for start, _, _ in sections if start > directory_table], default=self._used)
        sections.append((directory_table, behind, "directory table"))
        for start, stop, name in sections:
            if not 96 <= start <= stop <= self._used:
                raise image.damaged(f"{name} from {start} to {stop}", expected=f"within {self._used}")
            if start < stop:
                self._sections.append(Extent(start, stop, name, Kind.METADATA))
        self._inode_table = Table(image, decompress, inode_table, directory_table, "inode table")
        self._directory_table = Table(image, decompress, directory_table, behind, "directory table")

    def _fragment_entry(self, number: int) -> tuple[int, int]:
        """Where a fragment block starts, and its coded length with _NOT_COMPRESSED."""
        if number >= self._fragments:
            raise self._image.damaged("number of a fragment", expected=f"< {self._fragments}", found=number)
        start, size = struct.unpack_from("<QI", self._fragment_table, 16 * number)
        return start, size

    def _read_fragment(self, number: int) -> bytes:
        start, coded = self._fragment_entry(number)
        data = self._image.take(start, coded & ~_NOT_COMPRESSED, "a fragment block")
        with self._image.reading():
            return data if coded & _NOT_COMPRESSED else self._decompress(data, self._block)

    # Inodes and names

    def _walk(self, root: Place) -> Iterator[File]:
        pending, seen, count = [("/", root)], set(), 0
        while pending:
            path, place = pending.pop()
            file, listing = self._inode(path, place)
            yield file
            count += 1
            if count > MAX_FILES:
                raise self._image.damaged("it has files without end")
            if listing is None:
                continue
            if place in seen:
                raise self._image.damaged(f"the folder {path} has two names")
            seen.add(place)
            pending += [(path.rstrip("/") + "/" + text(name), child) for name, child in self._names(*listing)]

    def _inode(self, path: str, place: Place) -> tuple[File, tuple[Place, int] | None]:
        """A file, and for a folder where its names stand, and how many bytes they take."""
        table = self._inode_table
        (type_, mode, uid, gid, mtime, number), place = table.unpack(_HEAD, place)
        if not 1 <= type_ <= 14 or max(uid, gid) >= len(self._ids):
            raise self._image.damaged(f"inode of {path}")
        size, target, listing = 0, None, None
        match type_:
            case 1:
                (block, _, size, offset, _), place = table.unpack(_FOLDER, place)
                listing = Place(block, offset), size - 3
            case 8:
                (_, size, block, _, _, offset, _), place = table.unpack(_LONG_FOLDER, place)
                listing = Place(block, offset), size - 3
            case 2:
                (start, fragment, offset, size), place = table.unpack(_FILE, place)
                self._data[number] = self._read_data(path, start, size, fragment, offset, place)
            case 9:
                (start, size, _, _, fragment, offset, _), place = table.unpack(_LONG_FILE, place)
                self._data[number] = self._read_data(path, start, size, fragment, offset, place)
            case 3 | 10:
                (_, size), place = table.unpack(_LINK, place)
                if size > 65536:
                    raise self._image.damaged(f"{path}: length of a link", found=size)
                target = text(table.take(place, size)[0])
        mode = _MODES[(type_ - 1) % 7] | mode & 0o7777
        file = File(path, number, mode, self._ids[uid], self._ids[gid], max(size, 0), mtime, target)
        return file, listing

    def _read_data(self, path: str, start: int, size: int, fragment: int, offset: int, place: Place) -> _Data:
        count = size // self._block if fragment != _NO_FRAGMENT else -(-size // self._block)
        self._blocks += count
        if self._blocks > _MAX_BLOCKS:
            raise self._image.damaged(f"{path}: files have blocks without end")
        lengths, _ = self._inode_table.take(place, 4 * count) if count else (b"", place)
        blocks = struct.unpack(f"<{count}I", lengths)
        if max(blocks, default=0) & ~_NOT_COMPRESSED > self._block:
            raise self._image.damaged(f"{path}: length of a block")
        return _Data(start, blocks, fragment, offset)

    def _names(self, place: Place, size: int) -> Iterator[tuple[bytes, Place]]:
        """(name, where its inode stands) of what is in a folder, from headers with up to 256 entries each."""
        table = self._directory_table
        while size > 0:
            (count, block, _), place = table.unpack(_LISTING, place)
            size -= _LISTING.size
            if count > 255:
                raise self._image.damaged("entries of a folder", expected="<= 256", found=count + 1)
            for _ in range(count + 1):
                (offset, _, _, length), place = table.unpack(_NAME, place)
                name, place = table.take(place, length + 1)
                size -= _NAME.size + length + 1
                if b"/" in name or b"\0" in name or name in (b".", b".."):
                    raise self._image.damaged("a name in a folder", found=name)
                yield name, Place(block, offset)

    # Extents

    def _blocks_of_files(self) -> Iterator[Extent]:
        """Equal files share blocks: the first owns them."""
        seen: set[tuple[int, int]] = set()
        for file in self.files:
            data = self._data.get(file.inode) if file.is_file else None
            at = data.start if data else 0
            for coded in data.blocks if data else ():
                stop = at + (coded & ~_NOT_COMPRESSED)
                if stop > at and (at, stop) not in seen:
                    seen.add((at, stop))
                    yield Extent(at, stop, file.path, Kind.FILE)
                at = stop

    def _tails(self) -> Iterator[Extent]:
        tails: dict[int, dict[int, tuple[int, str]]] = {}  # fragment -> offset -> (stop, owner)
        for file in self.files:
            data = self._data.get(file.inode) if file.is_file else None
            if data and data.fragment != _NO_FRAGMENT:
                stop = data.offset + file.size % self._block
                tails.setdefault(data.fragment, {}).setdefault(data.offset, (stop, file.path))
        for number, owners in sorted(tails.items()):
            start, coded = self._fragment_entry(number)
            size = coded & ~_NOT_COMPRESSED
            plain = max(stop for stop, _ in owners.values())
            bounds = [start + size * offset // max(plain, 1) for offset in sorted(owners)]
            bounds[0] = start
            for offset, low, high in zip(sorted(owners), bounds, [*bounds[1:], start + size], strict=True):
                if low < high:
                    yield Extent(low, high, owners[offset][1], Kind.FILE)
