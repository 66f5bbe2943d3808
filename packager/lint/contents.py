"""Files that say when they were made: gzip's headers, and byte code of Python that is checked by time.

    gzip (RFC 1952)   0x1F 0x8B 8 | flags 1 | mtime 4 | 2 | [flag 4: extra] | [flag 8: name, zero]
    .pyc (PEP 552)    magic 4, the last two CR LF | flags 4, 0: by time | mtime of the source 4 | its size 4

Mended, a file has the time and the name that the base's has; one that the base lacks has no time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from packager.lint import heads
from packager.lint.findings import Finding
from packager.lint.pair import Check, Found, Pair
from packager.lint.side import Head

_GZIP: Final = b"\x1f\x8b\x08"
_CHECKSUM, _EXTRA, _NAME = 2, 4, 8  # flags; no writer known makes the first, of the header itself
_PYC_SUFFIX: Final = b"\r\n"


def gzip_times(pair: Pair) -> Iterator[Found]:
    """gzip files whose headers tell when they were made, or name another file than the base's."""
    mended = _mended(pair, _mend_gzip)
    if mended:
        what = f"{len(mended)} gzip files tell in their headers when they were made, or of which file"
        mend = "gzip -n (Python: gzip.compress(data, mtime=0))"
        yield heads.found(pair, Finding("gzip-time", what, mend, paths=tuple(mended)), mended)


def pyc_times(pair: Pair) -> Iterator[Found]:
    """Byte code that is valid as long as its source has a certain time."""
    mended = _mended(pair, _mend_pyc)
    if mended:
        what = f"{len(mended)} files of Python byte code tell the times of their sources"
        mend = "python3 -m compileall -f --invalidation-mode unchecked-hash FOLDER"
        yield heads.found(pair, Finding("pyc-time", what, mend, paths=tuple(mended)), mended)


CHECKS: Final[tuple[Check, ...]] = (gzip_times, pyc_times)
"""All of the contents of files."""


def _mended(pair: Pair, mend: Callable[[bytes, bytes], Head | None]) -> Mapping[str, Head]:
    """The new heads by path, where `mend` finds something, from the file's first bytes and the base's."""
    found = {}
    for path, file in pair.new.files.items():
        if file.is_file and file.size:
            old = pair.old.head(path) if pair.old and path in pair.old.files else b""
            if head := mend(pair.new.head(path), old):
                found[path] = head
    return found


def _mend_gzip(new: bytes, old: bytes) -> Head | None:
    header = _gzip(new)
    if header is None:
        return None
    size, mtime, extra, name = header
    before = _gzip(old)
    _, old_mtime, _, old_name = before or (0, 0, b"", name)
    if not mtime and name == old_name:
        return None
    flags = new[3] & ~_NAME | (_NAME if old_name else 0)
    fixed = new[:3] + bytes([flags]) + struct.pack("<I", old_mtime) + new[8:10]
    return Head(size, fixed + extra + old_name)


def _gzip(data: bytes) -> tuple[int, int, bytes, bytes] | None:
    """Size of the header, mtime, extra field with its size, name with its zero; None: not gzip's."""
    if len(data) < 18 or data[:3] != _GZIP or data[3] & (_CHECKSUM | 0xE0):
        return None
    at = 10
    if data[3] & _EXTRA:
        at += 2 + int.from_bytes(data[10:12], "little")
    name = b""
    if data[3] & _NAME:
        name = data[at : data.find(b"\0", at) + 1]
        if not name:
            return None
    return at + len(name), int.from_bytes(data[4:8], "little"), data[10:at], name


def _mend_pyc(new: bytes, old: bytes) -> Head | None:
    if not _is_timed_pyc(new):
        return None
    return Head(12, new[:8] + (old[8:12] if _is_timed_pyc(old) else bytes(4)))


def _is_timed_pyc(data: bytes) -> bool:
    # Magic numbers of Python 3.7 and later, which are the ones with flags: 3390 and up.
    is_pyc = len(data) > 16 and data[2:4] == _PYC_SUFFIX and 3390 <= int.from_bytes(data[:2], "little") < 4000
    # Behind the header a code object, marshalled: 'c', with or without the bit for references.
    return is_pyc and data[4:8] == bytes(4) and data[16] & 0x7F == ord("c")
