"""Handlers that write images, files and archives (SWUpdate: doc/source/handlers.rst)."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ota.tests.conformance.attributes import encrypted
from ota.tests.conformance.case import (
    BOOT,
    DATA,
    DISK,
    FOLDER,
    TEXT,
    Case,
    Rest,
    Stock,
    image,
    images,
    in_json,
)  # fmt: skip

EARLIER: Final = "refused before the first write; stock finds out half way"
_EXT4: Final = "mmcblk0p4"


def entry(kind: str, more: str, name: str = "a") -> str:
    return f'{{ filename = "{name}"; sha256 = "@{name}"; type = "{kind}"; {more} }}'


def files(*elements: str) -> str:
    return f"files: ( {', '.join(elements)} );"


def _file(name: str, more: str, data: bytes = DATA, **rest: Rest) -> Case:
    rest = {"changes": (FOLDER,), **rest}
    return Case("rawfile", name, files(entry("rawfile", more)), {"a": data}, **rest)


def _on(node: str, system: str, path: str = "/etc/new") -> str:
    return f'path = "{path}"; device = "/dev/{node}"; filesystem = "{system}";'


_MAKE: Final = 'properties: { create-destination = "true"; };'
_ATOMIC: Final = 'properties: { atomic-install = "true"; };'

_KEPT: Final = "mode and owner of what is replaced are kept, as stock does without atomic-install"

_RAW: Final = (
    Case("raw", "into a file", images(image(device="/mnt/etc/app.conf")), {"a": b"new"}, changes=(FOLDER,)),
    Case("raw", "into a file, offset", images(image("offset = 4;", device="/mnt/etc/app.conf")), {"a": b"new"},
         changes=(FOLDER,)),
    Case("raw", "to a partition of FAT", images(image(device="/dev/mmcblk0p1"))),
    Case("raw", "to the whole disk, behind the partitions",
         images(image("offset = 20480000;", device="/dev/mmcblk0")), {"a": b"x" * 5000}),
    Case("raw", "to the running slot", images(image(device="/dev/mmcblk0p2")), code="slot-running",
         reason="the running slot is never written"),
)  # fmt: skip

_RAWFILES: Final = (
    _file("new", 'path = "/mnt/etc/new";'),
    _file("over an old one", 'path = "/mnt/etc/app.conf";'),
    _file("over one with another mode", 'path = "/mnt/bin/tool";'),
    _file("over a link", 'path = "/mnt/bin/link";'),
    _file("compressed", 'path = "/mnt/etc/new"; compressed = "zlib";', gzip.compress(TEXT, mtime=0)),
    _file("encrypted", 'path = "/mnt/etc/new"; encrypted = true;', encrypted(DATA), key=True),
    _file("empty", 'path = "/mnt/etc/app.conf";', b""),
    _file("create-destination", f'path = "/mnt/a/b/c"; {_MAKE}'),
    _file("create-destination, folder is there", f'path = "/mnt/etc/new"; {_MAKE}'),
    _file("atomic-install", f'path = "/mnt/etc/app.conf"; {_ATOMIC}', differs=(FOLDER,), reason=_KEPT),
    _file("atomic-install, mode", f'path = "/mnt/bin/tool"; {_ATOMIC}', differs=(FOLDER,), reason=_KEPT),
    _file("both", 'path = "/mnt/a/new"; properties: { create-destination = "true"; atomic-install = "true"; };'),
    _file("on ext4", _on(_EXT4, "ext4"), changes=(_EXT4,), trees=(_EXT4,)),
    _file("on ext4, over an old one", _on(_EXT4, "ext4", "/etc/app.conf"), changes=(_EXT4,), trees=(_EXT4,)),
    _file("on ext4, create-destination", _on(_EXT4, "ext4", "/x/y/new") + _MAKE, changes=(_EXT4,), trees=(_EXT4,)),
    _file("on ext4, atomic-install", _on(_EXT4, "ext4", "/etc/app.conf") + _ATOMIC, changes=(_EXT4,),
          trees=(_EXT4,), differs=(_EXT4,), reason=_KEPT),
    _file("installed-directly", 'path = "/mnt/etc/new"; installed-directly = true;'),
    _file("device without a file system", 'path = "/mnt/etc/new"; device = "/dev/mmcblk0p4";', code="description-content",
          reason="half of what says where it goes; stock takes no notice of the device"),
    _file("no path", "", stock=Stock.REFUSED, code="description-content", differs=(BOOT,), reason=EARLIER),
    _file("no such folder", 'path = "/mnt/a/b/new";', stock=Stock.REFUSED, code="path-unusable", differs=(BOOT,),
          reason=EARLIER),
    _file("path is a folder", 'path = "/mnt/etc";', stock=Stock.REFUSED, code="path-unusable", differs=(BOOT,),
          reason=EARLIER),
    _file("file system whose name is a rule of mount(8)", _on(_EXT4, "nosuchfs"), stock=Stock.REFUSED,
          code="mount-failed", differs=(BOOT,), reason=EARLIER),
    _file("no such file system", _on(_EXT4, "anyfs"), stock=Stock.REFUSED, code="mount-failed", differs=(BOOT,),
          reason=EARLIER),
    Case("rawfile", "two files", files(entry("rawfile", 'path = "/mnt/etc/one";'),
         entry("rawfile", 'path = "/mnt/etc/two";', "b")), {"a": DATA, "b": TEXT}, changes=(FOLDER,)),
    Case("rawfile", "one file to two paths", files(entry("rawfile", 'path = "/mnt/etc/one";'),
         entry("rawfile", 'path = "/mnt/etc/two";')), changes=(FOLDER,)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """Of a tar archive."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o640
    link: str = ""
    pax: tuple[tuple[str, str], ...] = ()


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive; its files belong to 123:456 and are of 2004."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.size, info.type = len(member.data), member.kind
            info.mode, info.linkname = member.mode, member.link
            info.uid, info.gid, info.mtime = 123, 456, 1_100_000_000
            info.pax_headers = dict(member.pax)
            archive.addfile(info, io.BytesIO(member.data))
    return made.getvalue()


_PRESERVE: Final = "preserve-attributes = true;"
_TREE: Final = tar(
    Member("new/", kind=tarfile.DIRTYPE, mode=0o750), Member("new/file", DATA), Member("new/run", b"#!", mode=0o4755),
    Member("new/soft", kind=tarfile.SYMTYPE, link="file"), Member("new/hard", kind=tarfile.LNKTYPE, link="new/file"),
    Member("etc/app.conf", b"new = true\n", mode=0o600), Member("new/empty"),
)  # fmt: skip


def cpio(*members: tuple[str, bytes]) -> bytes:
    """Another format that stock's libarchive reads: SVR4 cpio."""

    def one(name: str, data: bytes, mode: int) -> Iterator[bytes]:
        fields = (1, mode, 0, 0, 1, 1_000_000_000, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        yield head + bytes(-len(head) % 4)
        yield data + bytes(-len(data) % 4)

    pieces = [piece for name, data in members for piece in one(name, data, 0o100644)]
    return b"".join([*pieces, *one("TRAILER!!!", b"", 0)])


def _archive(name: str, data: bytes, more: str = "", path: str = "/mnt", **rest: Rest) -> Case:
    rest = {"changes": (FOLDER,), **rest}
    text = images(entry("archive", f'path = "{path}"; {more}'))
    return Case("archive", name, text, {"a": data}, **rest)


_ESCAPE: Final = "it leads out of the folder"
_ARCHIVES: Final = (
    _archive("tar", _TREE),
    _archive("tar, preserve-attributes", _TREE, _PRESERVE),
    Case("archive", "as type tar", images(entry("tar", 'path = "/mnt";')), {"a": _TREE}, changes=(FOLDER,)),
    Case("archive", "among files", files(entry("archive", 'path = "/mnt";')), {"a": _TREE}, changes=(FOLDER,)),
    _archive("tar, compressed attribute", gzip.compress(_TREE, mtime=0), 'compressed = "zlib";'),
    _archive("tar.gz", gzip.compress(_TREE, mtime=0)),
    _archive("tar, encrypted", encrypted(_TREE), "encrypted = true;", key=True),
    _archive("tar, GNU format with long names", tar(Member("n" * 150, b"x"), form=tarfile.GNU_FORMAT)),
    _archive("tar, ustar format", tar(Member("new", b"x"), form=tarfile.USTAR_FORMAT), _PRESERVE),
    _archive("tar, pax with long names", tar(Member("d/" + "n" * 200, b"x"))),
    _archive("tar, names that start with ./", tar(Member("./", kind=tarfile.DIRTYPE, mode=0o755), Member("./new", b"x"))),
    _archive("tar, attributes", tar(Member("new", b"x", pax=(("SCHILY.xattr.user.note", "hello"),))), _PRESERVE),
    _archive("tar, attributes that are not wanted", tar(Member("new", b"x", pax=(("SCHILY.xattr.user.note", "hello"),)))),
    _archive("tar, folders that are not in it", tar(Member("x/y/z/new", b"x"))),
    _archive("tar, over a link", tar(Member("bin/link", b"x"))),
    _archive("tar, over a file with another mode", tar(Member("bin/tool", b"x", mode=0o600))),
    _archive("tar, a fifo", tar(Member("fifo", kind=tarfile.FIFOTYPE)), _PRESERVE),
    _archive("tar, a device", tar(Member("null", kind=tarfile.CHRTYPE)), _PRESERVE),
    _archive("tar, of nothing", tar(), changes=()),
    _archive("cpio", cpio(("new", b"x"))),
    _archive("create-destination", _TREE, _MAKE, "/mnt/a/b"),
    _archive("on ext4", _TREE, f'device = "/dev/{_EXT4}"; filesystem = "ext4";', "/", changes=(_EXT4,), trees=(_EXT4,)),
    _archive("on ext4, preserve-attributes", _TREE, f'device = "/dev/{_EXT4}"; filesystem = "ext4"; {_PRESERVE}', "/",
             changes=(_EXT4,), trees=(_EXT4,)),
    _archive("installed-directly", _TREE, "installed-directly = true;"),
    Case("archive", "two over one another", images(entry("archive", 'path = "/mnt";'), entry("archive", 'path = "/mnt";', "b")),
         {"a": _TREE, "b": tar(Member("new/file", b"second"))}, changes=(FOLDER,)),
    _archive("climbs with ..", tar(Member("../new", b"x")), path="/mnt/etc", code="payload-unsafe", reason=_ESCAPE),
    _archive("absolute name", tar(Member("/mnt/etc/new", b"x")), path="/mnt/bin", code="payload-unsafe", reason=_ESCAPE),
    _archive("through a link that it brings", tar(Member("out", kind=tarfile.SYMTYPE, link="/mnt/etc"),
             Member("out/new", b"x")), path="/mnt/bin", code="payload-unsafe", reason=_ESCAPE),
    _archive("no such folder", _TREE, path="/mnt/a/b", stock=Stock.REFUSED, code="path-unusable", differs=(BOOT,),
             reason=EARLIER),
    _archive("no archive", DATA, stock=Stock.REFUSED, code="payload-format", differs=(BOOT,), reason=EARLIER),
    _archive("cut off", _TREE[:2000], stock=Stock.REFUSED, code="payload-format", differs=(BOOT, FOLDER),
             reason=EARLIER),
)  # fmt: skip


def delta(*commands: bytes | tuple[int, int]) -> bytes:
    """A librsync delta: literal bytes, and (start, length) of the base (librsync: doc/formats.md)."""
    pieces = [struct.pack(">I", 0x72730236)]
    for command in commands:
        if isinstance(command, bytes):
            pieces.append(struct.pack(">BI", 0x43, len(command)) + command)
        else:
            pieces.append(struct.pack(">BII", 0x4F, *command))
    return b"".join([*pieces, b"\0"])


_DELTA: Final = delta((0, 100_000), DATA[:5000], (1_000_000, 50_000), (200_000, 5))
_BASE: Final = 'properties: { rdiffbase = [ "/dev/mmcblk0p2" ]; };'


def _rdiff(name: str, data: bytes, more: str = _BASE, **rest: Rest) -> Case:
    text = images(entry("rdiff_image", f'device = "/dev/mmcblk0p3"; {more}'))
    return Case("rdiff_image", name, text, {"a": data}, **rest)


def _rdiff_file(name: str, data: bytes, more: str, **rest: Rest) -> Case:
    rest = {"changes": (FOLDER,), **rest}
    return Case("rdiff_file", name, files(entry("rdiff_file", more)), {"a": data}, **rest)


_CONF: Final = delta((0, 6), b"false\n")  # "old = true\n" -> "old = false\n"
_RDIFF: Final = (
    _rdiff("plain", _DELTA),
    _rdiff("base as a string", _DELTA, 'properties: { rdiffbase = "/dev/mmcblk0p2"; };'),
    _rdiff("base is a file", delta((0, 11)), 'properties: { rdiffbase = [ "/mnt/etc/app.conf" ]; };'),
    _rdiff("compressed", gzip.compress(_DELTA, mtime=0), _BASE + 'compressed = "zlib";'),
    _rdiff("encrypted", encrypted(_DELTA), _BASE + "encrypted = true;", key=True),
    _rdiff("installed-directly", _DELTA, _BASE + "installed-directly = true;"),
    _rdiff("literals only", delta(DATA)),
    _rdiff("of nothing", delta(), changes=()),
    _rdiff("no base", _DELTA, "", stock=Stock.REFUSED, code="description-content", differs=(BOOT,), reason=EARLIER),
    _rdiff("no delta", DATA, stock=Stock.REFUSED, code="delta-format"),
    _rdiff("beyond the base", delta((0, 10), (5 << 20, 10)), stock=Stock.REFUSED, code="delta-base",
           differs=(DISK,), reason="how far an image got that failed half way"),
    _rdiff("base is the target", _DELTA, _BASE.replace("p2", "p3"), code="delta-base",
           reason="it would read what it has just written"),
    _rdiff_file("plain", _CONF, 'path = "/mnt/etc/app.conf";'),
    _rdiff_file("mode", delta((0, 3), b"x"), 'path = "/mnt/bin/tool";'),
    _rdiff_file("compressed", gzip.compress(_CONF, mtime=0), 'path = "/mnt/etc/app.conf"; compressed = "zlib";'),
    _rdiff_file("on ext4", _CONF, _on(_EXT4, "ext4", "/etc/app.conf"), changes=(_EXT4,), trees=(_EXT4,)),
    _rdiff_file("no base", _CONF, 'path = "/mnt/etc/none";', stock=Stock.REFUSED, code="path-unusable",
                differs=(BOOT,), reason=EARLIER),
    _rdiff_file("no path", _CONF, "", stock=Stock.REFUSED, code="description-content", differs=(BOOT,),
                reason=EARLIER),
    _rdiff_file("no delta", DATA, 'path = "/mnt/etc/app.conf";', stock=Stock.REFUSED, code="delta-format"),
)  # fmt: skip

_JSON: Final = (_RAWFILES[0], _RAWFILES[7], _ARCHIVES[1], _RDIFF[0], _RDIFF[12])

WRITERS: Final = (*_RAW, *_RAWFILES, *_ARCHIVES, *_RDIFF, *map(in_json, _JSON))
