"""Archives that want to be elsewhere, or to be more than there is room for, and files with wrong places."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from typing import Final

from ota.tests.hostile.case import (
    APP,
    DATA,
    PAYLOAD,
    Case,
    Package,
    Stock,
    file,
    package,
)

_ROOM: Final = 64 << 20  # bytes; eight times what the file system holds


def _member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644,
            numbers: tuple[int, int] = (0, 0)) -> tuple[tarfile.TarInfo, bytes]:  # fmt: skip
    header = tarfile.TarInfo(name)
    header.type, header.linkname, header.size, header.mode = kind, link, len(data), mode
    header.devmajor, header.devminor = numbers
    return header, data


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for header, data in members:
            archive.addfile(header, io.BytesIO(data))
    return made.getvalue()


def _link(name: str, to: str) -> tuple[tarfile.TarInfo, bytes]:
    return _member(name, kind=tarfile.SYMTYPE, link=to)


def _hard(name: str, to: str) -> tuple[tarfile.TarInfo, bytes]:
    return _member(name, kind=tarfile.LNKTYPE, link=to)


def _case(name: str, data: Callable[[], bytes] | bytes, code: str, stock: Stock, more: str = "",
          path: str = APP) -> Case:  # fmt: skip
    """An archive for the folder of files."""

    def make() -> Package:
        return Package(
            file(more, kind="archive", path=path), {"a": data if isinstance(data, bytes) else data()}
        )

    return Case(name, make, code, stock)


def _claims(size: int) -> bytes:
    """A header that promises more than follows; large sizes are in base 256 (GNU tar)."""
    header, _ = _member("large")
    header.size = size
    return header.tobuf(tarfile.GNU_FORMAT) + bytes(2048)


def _damaged() -> bytes:
    data = bytearray(_tar(_member("one", PAYLOAD), _member("two", PAYLOAD)))
    second = data.index(b"two")
    data[second + 148 : second + 156] = b"7777777\0"  # the header's checksum
    return bytes(data)


def _many() -> bytes:
    return gzip.compress(_tar(*(_member(f"file{number}") for number in range(20_000))), 1)


_GOOD: Final = _member("good", b"good\n")
_EVIL: Final = b"evil\n"
_OTHER: Final = "/mnt/other"
_FULL: Final = f'device = "{DATA}"; filesystem = "ext4";'

_ESCAPES: Final = (
    _case(
        "a name that climbs", _tar(_GOOD, _member("../other/file", _EVIL)), "payload-unsafe", Stock.OUTSIDE
    ),
    _case(
        "a name that climbs in its middle",
        _tar(_GOOD, _member("a/../../other/file", _EVIL)),
        "payload-unsafe",
        Stock.OUTSIDE,
    ),
    _case("an absolute name", _tar(_GOOD, _member(f"{_OTHER}/file", _EVIL)), "payload-unsafe", Stock.OUTSIDE),
    _case(
        "through its own link",
        _tar(_link("out", _OTHER), _member("out/file", _EVIL)),
        "payload-unsafe",
        Stock.OUTSIDE,
    ),
    _case(
        "through its own link that climbs",
        _tar(_link("out", "../other"), _member("out/file", _EVIL)),
        "payload-unsafe",
        Stock.OUTSIDE,
    ),
    _case(
        "through a chain of its own links",
        _tar(_link("a", "b"), _link("b", "c"), _link("c", _OTHER), _member("a/file", _EVIL)),
        "payload-unsafe",
        Stock.OUTSIDE,
    ),
    _case(
        "a link through its own link",
        _tar(_link("out", _OTHER), _link("out/evil", "/etc/passwd")),
        "payload-unsafe",
        Stock.OUTSIDE,
    ),
    _case(
        "a folder through its own link",
        _tar(_link("out", _OTHER), _member("out/evil", kind=tarfile.DIRTYPE, mode=0o777)),
        "payload-unsafe",
        Stock.OUTSIDE,
    ),
    _case(
        "a hard link to a file outside, then written",
        _tar(_hard("out", "../other/file"), _member("out", _EVIL)),
        "payload-unsafe",
        Stock.INSTALLS,
    ),
    _case(
        "a hard link to an absolute name",
        _tar(_hard("out", f"{_OTHER}/file")),
        "payload-unsafe",
        Stock.INSTALLS,
    ),
    _case(
        "a hard link through its own link",
        _tar(_link("way", _OTHER), _hard("out", "way/file")),
        "payload-unsafe",
        Stock.INSTALLS,
    ),
    _case(
        "a block device",
        _tar(_member("disk", kind=tarfile.BLKTYPE, numbers=(7, 0))),
        "payload-unsafe",
        Stock.INSTALLS,
    ),
    _case(
        "a device of characters",
        _tar(_member("memory", kind=tarfile.CHRTYPE, numbers=(1, 1))),
        "payload-unsafe",
        Stock.INSTALLS,
    ),
    _case("a named pipe", _tar(_member("pipe", kind=tarfile.FIFOTYPE)), "payload-unsafe", Stock.INSTALLS),
    _case("a name of 5000 characters", _tar(_member("n" * 5000, _EVIL)), "payload-unsafe", Stock.REFUSES),
    _case(
        "a part of a name of 300 characters", _tar(_member("n" * 300, _EVIL)), "payload-unsafe", Stock.REFUSES
    ),
)

_SIZES: Final = (
    _case(
        "a file larger than the file system",
        lambda: gzip.compress(_tar(_member("large", bytes(_ROOM))), 1),
        "file-system-full",
        Stock.SPOILS,
        _FULL,
        "/",
    ),
    _case(
        "the same, compressed twice",
        lambda: gzip.compress(gzip.compress(_tar(_member("large", bytes(_ROOM))), 1)),
        "file-system-full",
        Stock.SPOILS,
        f'compressed = "zlib"; {_FULL}',
        "/",
    ),
    _case(
        "many files that are together too large",
        lambda: gzip.compress(_tar(*(_member(f"large{n}", bytes(1 << 20)) for n in range(20))), 1),
        "file-system-full",
        Stock.SPOILS,
        _FULL,
        "/",
    ),
    _case("more files than the file system can have", _many, "file-system-full", Stock.SPOILS, _FULL, "/"),
    _case(
        "a file that says it has 8 GiB",
        lambda: _claims(8 << 30),
        "file-system-full",
        Stock.SPOILS,
        _FULL,
        "/",
    ),
    _case(
        "a file that says it has 2^62 bytes",
        lambda: _claims(1 << 62),
        "file-system-full",
        Stock.SPOILS,
        _FULL,
        "/",
    ),
)

_DAMAGED: Final = (
    _case("no archive", PAYLOAD, "payload-format", Stock.REFUSES),
    _case("cut within a file", _tar(_GOOD, _member("two", PAYLOAD))[:4096], "payload-format", Stock.SPOILS),
    _case("a header whose checksum is wrong", _damaged(), "payload-format", Stock.SPOILS),
    _case(
        "a damaged compression inside",
        gzip.compress(_tar(_member("one", PAYLOAD)))[:-30] + bytes(30),
        "payload-format",
        Stock.REFUSES,
    ),
    _case(
        "a damaged compression outside",
        gzip.compress(_tar(_member("one", PAYLOAD)))[:-30] + bytes(30),
        "payload-format",
        Stock.SPOILS,
        'compressed = "zlib";',
    ),
    _case("no path", _tar(_GOOD), "description-content", Stock.REFUSES, "", ""),
    _case(
        "a path that is not absolute", _tar(_GOOD), "description-content", Stock.INSTALLS, "", "../mnt/app"
    ),
    _case("a path that is a file", _tar(_GOOD), "path-unusable", Stock.REFUSES, "", f"{_OTHER}/file"),
    _case("a path that is not there", _tar(_GOOD), "path-unusable", Stock.REFUSES, "", f"{APP}/none"),
    _case(
        "a file system of another kind",
        _tar(_GOOD),
        "mount-failed",
        Stock.REFUSES,
        f'device = "{DATA}"; filesystem = "vfat";',
        "/",
    ),
    _case(
        "into the running slot",
        _tar(_GOOD),
        "slot-running",
        Stock.REFUSES,
        'device = "/dev/mmcblk0p2"; filesystem = "ext4";',
        "/",
    ),
)


def _file(name: str, code: str, stock: Stock, more: str = "", path: str = f"{APP}/file", prepare: str = "",
          data: bytes = PAYLOAD) -> Case:  # fmt: skip
    return Case(name, package(file(more, path=path), a=data), code, stock, prepare=prepare)


# A link in the file system on the partition that leads out of where it is mounted.
_LINK_INSIDE: Final = (
    f"mkdir /srv/data; mount {DATA} /srv/data; ln -s /mnt/other /srv/data/out; umount /srv/data; "
)

_FILES: Final = (
    _file("a file that is a folder", "path-unusable", Stock.REFUSES, path="/mnt/other"),
    _file("a file in a folder that is not there", "path-unusable", Stock.REFUSES, path=f"{APP}/none/file"),
    _file(
        "a file under a file",
        "path-unusable",
        Stock.REFUSES,
        path="/mnt/other/file/below",
        more='properties: { create-destination = "true"; };',
    ),
    _file(
        "a file that is a device",
        "path-unusable",
        Stock.REFUSES,
        path="/srv/null",
        prepare="mknod /srv/null c 1 3; ",
    ),
    _file(
        "a file that is a named pipe",
        "path-unusable",
        Stock.HANGS,
        path="/srv/pipe",
        prepare="mkfifo /srv/pipe; ",
    ),
    _file("a file without path", "description-content", Stock.REFUSES, path=""),
    _file("a file by a relative path", "description-content", Stock.OUTSIDE, path="target/other/file"),
    _file(
        "one file larger than the file system",
        "file-system-full",
        Stock.SPOILS,
        _FULL,
        "/large",
        data=bytes(_ROOM // 4),
    ),
    _file(
        "a file on the running slot",
        "slot-running",
        Stock.REFUSES,
        'device = "/dev/mmcblk0p2"; filesystem = "ext4";',
        "/file",
    ),
    Case(
        "a delta for a file that is not there",
        package(file(kind="rdiff_file"), a=b"rs\x026\x05hello\0"),
        "path-unusable",
        Stock.REFUSES,
    ),
    Case(
        "a damaged delta for a file",
        package(file(kind="rdiff_file", path="/srv/old"), a=b"rs\x026\x05hello\xaa\0"),
        "delta-format",
        Stock.REFUSES,
        prepare="echo old > /srv/old; ",
    ),
)

GROUPS: Final = {
    "Archives that escape": _ESCAPES,
    "Archives that are too large": _SIZES,
    "Archives that are damaged or have no place": _DAMAGED,
    "Files": _FILES,
}
