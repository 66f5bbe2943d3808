"""A file that is replaced as a whole: the old one or the new one is there, whenever the power goes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from ota.errors import DeviceError, UpdateError
from ota.interfaces import Event, Progress
from ota.io.durable import sync_folder
from ota.io.inside import nearest, translate
from ota.io.readers import BLOCK
from ota.sync.stream import Image

TEMPORARY: Final = ".otakit.new"  # beside the file; one that a killed run left is written over
MODE: Final = 0o600  # of a file that was not there, as SWUpdate's openfileoutput() makes it

# Of the bytes, not of the file: the kernel's digest or a signature of them (evmctl(1)).
_OF_THE_CONTENT: Final = ("security.ima", "security.evm")


def check(path: Path, size: int | None, *, creates: bool) -> None:
    """Refuse a file that cannot be written or replaced; nothing is written.

    Args:
        path: as `inside.resolve` found it.
        size: bytes that will be put there, if that is known.
        creates: whether a missing folder will be made.

    Raises:
        DeviceError: "path-unusable", "file-system-full".
    """
    folder = path.parent
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:
        raise translate(error, path) from error
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise DeviceError("path-unusable", f"{path} is there already", expected="a file", found=_kind(mode))
    check_folder(folder, creates=creates)
    check_room(folder, size or 0)


def check_folder(folder: Path, *, creates: bool) -> None:
    """Refuse a folder that is something else, or is missing.

    Raises:
        DeviceError: "path-unusable".
    """
    there = nearest(folder)
    if not there.is_dir():
        raise DeviceError("path-unusable", f"{there} is there already", expected="a folder")
    if there != folder and not creates:
        raise DeviceError(
            "path-unusable", f"{folder} does not exist", hint='create-destination = "true" makes it'
        )


def check_room(folder: Path, size: int) -> None:
    """Refuse so many bytes where a folder lies, or will lie, if they do not fit.

    Raises:
        DeviceError: "file-system-full".
    """
    room = _room(folder)
    if size > room:
        raise _full(folder, f"<= {room} bytes", size)


def replace(path: Path, blocks: Iterable[bytes], image: Image, progress: Progress) -> int:
    """Write a file beside, prove it by reading it back, put it in place; all durably.

    Mode, owner and extended attributes stay those of the file that was there.

    Args:
        path: as `inside.resolve` found it; in a folder that exists.

    Returns:
        Bytes written.

    Raises:
        UpdateError: "result-mismatch": it is not what is described.
        DeviceError: "file-system-full", "path-unusable". After any error the old file is there.
    """
    with _temporary(path) as file:
        check_room(path.parent, image.size or 0)
        found = _write(file, blocks, path, image, progress)
        _take_attributes(path, file)
        os.fsync(file.fileno())
        _read_back(file, found, path, progress)
    assert found.size is not None
    return found.size


@contextmanager
def _temporary(path: Path) -> Iterator[BinaryIO]:
    """Becomes `path` at the end, unless there was an error."""
    temporary = path.with_name(TEMPORARY)
    try:
        temporary.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, MODE), "w+b", buffering=0) as file:
            yield file
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise translate(error, path) from error
    finally:
        with suppress(OSError):  # there is another error to tell of, and the next run removes it
            temporary.unlink(missing_ok=True)


def _write(file: BinaryIO, blocks: Iterable[bytes], path: Path, image: Image, progress: Progress) -> Image:
    limit = _spare(path.parent) if image.size is None else image.size
    whole, size = hashlib.sha256(), 0
    for block in blocks:
        size += len(block)
        if size > limit:
            break
        _write_all(file, block)
        whole.update(block)
        progress(Event("write", size, image.size or 0))
    if image.size is None and size > limit:
        raise _full(path, f"<= {limit} bytes", f"more than {limit}")
    found = Image(size, whole.hexdigest())
    if image.size not in (None, size) or image.sha256 not in (None, found.sha256):
        raise UpdateError(
            "result-mismatch",
            f"what came out for {path} is not what is described",
            expected=f"{image.size} bytes, sha256 {image.sha256}",
            found=f"{'more' if size > limit else size} bytes, sha256 {found.sha256}",
        )
    return found


def _write_all(file: BinaryIO, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def _take_attributes(path: Path, file: BinaryIO) -> None:
    """Those of the file that is there; in this order, because changing the owner takes the others away."""
    try:
        old = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(old.st_mode):
        return
    os.fchown(file.fileno(), old.st_uid, old.st_gid)
    os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
    for name in _attributes(path):
        if name not in _OF_THE_CONTENT:
            os.setxattr(file.fileno(), name, os.getxattr(path, name, follow_symlinks=False))


def _attributes(path: Path) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # the file system has none
            return []
        raise


def _read_back(file: BinaryIO, written: Image, path: Path, progress: Progress) -> None:
    assert written.size is not None
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that it comes from the medium
    file.seek(0)
    whole, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        whole.update(block)
        size += len(block)
        progress(Event("verify", size, written.size))
    if whole.hexdigest() != written.sha256:
        raise DeviceError(
            "path-unusable",
            f"{path} does not keep what is written",
            expected=written.sha256,
            found=whole.hexdigest(),
        )


def _room(folder: Path) -> int:
    """Bytes that are free where a folder lies, or will lie."""
    status = os.statvfs(nearest(folder))
    return status.f_bfree * status.f_frsize


def _spare(folder: Path) -> int:
    """Bytes that may be taken without knowing how many it will be: what is reserved for root stays."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _full(path: Path, expected: object, found: object) -> DeviceError:
    return DeviceError(
        "file-system-full", f"{path}: what is put there does not fit", expected=expected, found=found
    )


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFBLK: "a block device", stat.S_IFCHR: "a character device"}
    return kinds.get(stat.S_IFMT(mode), "neither file nor folder")
