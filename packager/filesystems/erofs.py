"""erofs (kernel documentation, filesystems/erofs; Linux, fs/erofs/erofs_fs.h).

byte 1024   superblock, 128 bytes: magic 0xE0F5E1E2
anywhere    inodes, 32 or 64 bytes, found by number: 32 bytes each, counted from a block that the superblock
            names. Attributes, a cluster index and the last bytes of the file may follow an inode
the rest    blocks of files, as they are or compressed in clusters of one or more
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from packager.filesystems import erofs_clusters
from packager.filesystems.decompress import BY_NAME
from packager.filesystems.erofs_clusters import Coding, Piece
from packager.filesystems.image import Image, text
from packager.filesystems.layout import MAX_FILES, PIECE, Extent, File, Kind, Layout, whole, zeros

MAGIC_AT: Final = 1024
MAGIC: Final = b"\xe2\xe1\xf5\xe0"

_SUPERBLOCK: Final = struct.Struct("<12xBBH8xQ4xIII32xI2xHHB")
_COMPACT, _EXTENDED = struct.Struct("<HHH2xI4xI4xHH4x"), struct.Struct("<HHH2xQI4xIIQ24x")
_NAME: Final = struct.Struct("<QHBx")
_FEATURES: Final = {0x1: "0padding", 0x2: "compr_cfgs, big_pcluster", 0x4: "chunks", 0x10: "ztailpacking"}
_PADDED, _CONFIGURED = 0x1, 0x2
_MAX_BLOCKS: Final = 1 << 24  # of all compressed files

_PLAIN, _FULL, _INLINE, _COMPRESSED, _CHUNKS = range(5)  # layouts of a file's data


@dataclass(frozen=True, slots=True)
class _Inode:
    number: int
    at: int  # bytes
    body: int  # bytes; where it and its attributes end
    layout: int
    mode: int
    uid: int
    gid: int
    size: int  # bytes
    mtime: int
    place: int  # a block, or what the layout makes of it


class Erofs:
    """An erofs image."""

    def __init__(self, image: Image) -> None:
        self._image = image
        (
            self._bits, slots, root, self._built, blocks, self._meta, self._shared, self._features,
            devices, _, folder_bits,
        ) = image.unpack(_SUPERBLOCK, 1024, "superblock")  # fmt: skip
        if odd := self._features & ~sum(_FEATURES):
            raise image.unknown(f"an erofs feature that is not known here: {odd:#x}")
        if devices or folder_bits:
            raise image.unknown("an erofs of several devices, or with large blocks of folders")
        if not 9 <= self._bits <= 16:
            raise image.damaged("the erofs superblock contradicts itself")
        self._block: int = 1 << self._bits
        if blocks * self._block > image.size:
            raise image.damaged(
                "the image is cut short", expected=blocks * self._block, found=image.size
            )  # fmt: skip
        self._end = blocks * self._block
        self._metadata = {(1024, self._end_of_superblock(1024 + 128 + 16 * slots)): "superblock"}
        self._inodes: dict[int, _Inode] = {}
        self._pieces: dict[int, list[Piece]] = {}
        self._blocks = 0
        self.files = tuple(self._file(path, number) for path, number in sorted(self._walk(root)))

    def layout(self) -> Layout:
        metadata = [
            Extent(start, stop, name, Kind.METADATA) for (start, stop), name in self._metadata.items()
        ]
        extents = sorted([*metadata, *self._extents()])
        # What is left behind an inode and its data, up to where the next may start, goes with them.
        bounds = [extent.start for extent in extents[1:]] + [self._image.size]
        padded = (
            replace(extent, stop=max(extent.stop, min(bound, extent.stop + 31 & ~31)))
            for extent, bound in zip(extents, bounds, strict=True)
        )
        return whole(self._image, "erofs", padded)

    def content(self, file: File) -> Iterator[bytes]:
        return self._content(self._inodes[file.inode])

    def _content(self, inode: _Inode) -> Iterator[bytes]:
        for piece in self._data(inode):
            size = piece.stop - piece.start
            match piece.coding:
                case Coding.ZEROS:
                    yield from zeros(size)
                case Coding.PLAIN:
                    for at in range(piece.at, piece.at + size, PIECE):
                        yield self._image.take(at, min(PIECE, piece.at + size - at), "data of a file")
                case _:
                    yield self._decoded(piece, size)

    def _decoded(self, piece: Piece, size: int) -> bytes:
        data = self._image.take(piece.at, piece.end - piece.at, "a cluster")
        if piece.coding is Coding.TURNED:
            start = piece.start % self._block
            return (data[start:] + data[:start])[:size]
        if piece.coding is Coding.OTHER or not self._features & _PADDED:
            raise self._image.unknown("a compression of erofs that is not known here")
        with self._image.reading():
            plain = BY_NAME["lz4"](data.lstrip(b"\0"), size)
        if len(plain) != size:
            raise self._image.damaged(f"a cluster at {piece.at}", expected=f"{size} bytes", found=len(plain))
        return plain

    # Inodes and names

    def _end_of_superblock(self, at: int) -> int:
        """Behind it stands what was set for each algorithm: length 2 | as many bytes."""
        if self._features & _CONFIGURED:
            (algorithms,) = struct.unpack("<H", self._image.take(1024 + 84, 2, "algorithms"))
            for _ in range(algorithms.bit_count()):
                at += 2 + struct.unpack("<H", self._image.take(at, 2, "settings of an algorithm"))[0]
        return at

    def _walk(self, root: int) -> Iterator[tuple[str, int]]:
        """(path, inode) of everything."""
        yield "/", root
        pending, seen, count = [("/", root)], {root}, 0
        while pending:
            folder, number = pending.pop()
            for name, child in self._names(self._inode(number)):
                path = folder.rstrip("/") + "/" + text(name)
                yield path, child
                count += 1
                if count > MAX_FILES:
                    raise self._image.damaged("it has files without end")
                if stat.S_ISDIR(self._inode(child).mode):
                    if child in seen:
                        raise self._image.damaged(f"the folder {path} has two names")
                    seen.add(child)
                    pending.append((path, child))

    def _inode(self, number: int) -> _Inode:
        if number not in self._inodes:
            self._inodes[number] = self._read_inode(number)
        return self._inodes[number]

    def _read_inode(self, number: int) -> _Inode:
        """format 2 | attributes 2 | mode 2 | ...: bit 0 of the format tells which, bits 1 to 3 the layout."""
        at = self._meta * self._block + 32 * number
        (form,) = struct.unpack("<H", self._image.take(at, 2, f"inode {number}"))
        if form & 1:
            _, attributes, mode, size, place, uid, gid, mtime = self._image.unpack(_EXTENDED, at, "inode")
        else:
            _, attributes, mode, size, place, uid, gid = self._image.unpack(_COMPACT, at, "inode")
            mtime = self._built
        layout = form >> 1 & 7
        if form >> 4 or layout > _CHUNKS:
            raise self._image.unknown(f"inode {number}: a format that is not known here: {form:#x}")
        body = at + (64 if form & 1 else 32)
        if attributes:
            self._claim_shared(body)
            body += 12 + 4 * (attributes - 1)
        self._metadata[at, body] = "inodes"
        return _Inode(number, at, body, layout, mode, uid, gid, size, mtime, place)

    def _claim_shared(self, at: int) -> None:
        """filter 4 | how many are shared 1 | 7 | where those lie, counted in 4 bytes, 4 each."""
        count = self._image.take(at, 12, "attributes")[4]
        for (number,) in struct.iter_unpack("<I", self._image.take(at + 12, 4 * count, "attributes")):
            start = self._shared * self._block + 4 * number
            name, _, value = struct.unpack("<BBH", self._image.take(start, 4, "a shared attribute"))
            self._metadata[start, start + (4 + name + value + 3 & ~3)] = "shared attributes"

    def _file(self, path: str, number: int) -> File:
        inode = self._inode(number)
        target = text(b"".join(self._content(inode))) if self._is_link(inode) else None
        if stat.S_ISREG(inode.mode):
            self._data(inode)  # all that is damaged shows when the image is opened
        has_size = stat.S_ISREG(inode.mode) or stat.S_ISDIR(inode.mode) or target is not None
        size = inode.size if has_size else 0
        return File(path, number, inode.mode, inode.uid, inode.gid, size, inode.mtime, target)

    def _is_link(self, inode: _Inode) -> bool:
        if stat.S_ISLNK(inode.mode) and inode.size > 65536:
            raise self._image.damaged("length of a link", found=inode.size)
        return stat.S_ISLNK(inode.mode)

    def _names(self, inode: _Inode) -> Iterator[tuple[bytes, int]]:
        """(name, inode) of what is in a folder.

        Each block: for every name inode 8 | offset of the name 2 | type 1 | 1, then the names.
        """
        if inode.size > self._end:
            raise self._image.damaged(f"size of the folder with inode {inode.number}", found=inode.size)
        data = b"".join(self._content(inode))
        for at in range(0, len(data), self._block):
            block = data[at : at + self._block]
            (_, first, _) = _NAME.unpack_from(block)
            entries = [_NAME.unpack_from(block, place) for place in range(0, first, _NAME.size)]
            ends = [offset for _, offset, _ in entries[1:]] + [len(block)]
            for (number, offset, _), end in zip(entries, ends, strict=True):
                name = block[offset:end].rstrip(b"\0")
                if not name or b"/" in name or b"\0" in name:
                    raise self._image.damaged(f"a name in the folder with inode {inode.number}", found=name)
                if name not in (b".", b".."):
                    yield name, number

    # Data

    def _data(self, inode: _Inode) -> list[Piece]:
        if inode.number not in self._pieces:
            self._pieces[inode.number] = self._read_data(inode)
        return self._pieces[inode.number]

    def _read_data(self, inode: _Inode) -> list[Piece]:
        size = inode.size
        if size == 0:
            return []
        match inode.layout:
            case 0 | 2:
                inline = (size - 1) // self._block * self._block if inode.layout == _INLINE else size
                at = inode.place * self._block
                blocks = -(-inline // self._block) * self._block
                pieces = [Piece(0, inline, at, at + blocks, Coding.PLAIN)] if inline else []
                tail = size - inline
                last = [Piece(inline, size, inode.body, inode.body + tail, Coding.PLAIN)] if tail else []
                return pieces + last
            case 1 | 3:
                self._count(-(-size // self._block))
                pieces, end = erofs_clusters.read(
                    self._image, inode.body, size, self._bits, inode.layout == _COMPRESSED
                )
                self._metadata[inode.body + 7 & ~7, end] = "cluster indexes"
                return pieces
            case _:
                return self._chunks(inode)

    def _chunks(self, inode: _Inode) -> list[Piece]:
        """4 bytes a chunk, the block; or 8: 2 | device 2 | block 4."""
        if inode.place >> 6:
            raise self._image.unknown("a format of chunks that is not known here")
        chunk = self._block << (inode.place & 31)
        count = -(-inode.size // chunk)
        self._count(count)
        width = 8 if inode.place & 32 else 4
        start = -(-inode.body // width) * width
        data = self._image.take(start, width * count, "places of chunks")
        self._metadata[start, start + len(data)] = "chunk indexes"
        pieces = []
        for number in range(count):
            device, block = struct.unpack_from("<HI", data, number * 8 + 2) if width == 8 else (
                0, *struct.unpack_from("<I", data, number * 4)
            )  # fmt: skip
            if device:
                raise self._image.unknown("an erofs of several devices")
            low, high = number * chunk, min((number + 1) * chunk, inode.size)
            is_hole = block == 0xFFFF_FFFF
            at = 0 if is_hole else block * self._block
            end = at if is_hole else at + -(-(high - low) // self._block) * self._block
            pieces.append(Piece(low, high, at, end, Coding.ZEROS if is_hole else Coding.PLAIN))
        return pieces

    def _count(self, blocks: int) -> None:
        self._blocks += blocks
        if self._blocks > _MAX_BLOCKS:
            raise self._image.damaged("files have blocks without end")

    def _extents(self) -> Iterator[Extent]:
        """Of data. Equal ones may be shared: the first owns them."""
        seen: set[tuple[int, int]] = set()
        for file in self.files:
            inode = self._inodes[file.inode]
            has_data = file.is_file or file.is_folder or file.target is not None
            kind = Kind.DIRECTORY if file.is_folder else Kind.FILE
            for piece in self._data(inode) if has_data else ():
                if piece.at < piece.end and (piece.at, piece.end) not in seen:
                    seen.add((piece.at, piece.end))
                    yield Extent(piece.at, piece.end, file.path, kind)
