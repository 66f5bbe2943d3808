"""A folder with all kinds of files, which tests make images of, and what its reader has to find."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import OtaError
from packager import filesystems
from packager.filesystems import File, FileSystem, Kind, Layout

TIME = 1_700_000_000


def make(folder: Path, seed: int = 1) -> Path:
    """The folder; the same seed makes the same bytes."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randint(3, 9)) for _ in range(300)]
    folder.mkdir()
    for name, size in SIZES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b" ".join(chance.choices(words, k=size // 5 + 1))[:size])
    (folder / "random").write_bytes(chance.randbytes(500_000))
    (folder / "zeros").write_bytes(bytes(300_000))
    with (folder / "sparse").open("wb") as file:
        file.write(b"start")
        file.seek(900_000)
        file.write(b"end")
    many = folder / "many"
    many.mkdir()
    for number in range(300):
        (many / f"a file with quite a long name, number {number}").write_bytes(b"%d" % number)
    (folder / "short link").symlink_to("usr/lib/large")
    (folder / "long link").symlink_to("x" * 200)
    (folder / "usr/second name").hardlink_to(folder / "usr/lib/large")
    (folder / os.fsdecode(b"no utf-8 \xff")).write_bytes(b"odd")
    (folder / "größe").mkdir()
    os.setxattr(folder / "usr/lib/large", "user.note", b"short")
    os.setxattr(folder / "usr/lib/small", "user.note", b"long" * 200)
    (folder / "usr/lib/small").chmod(0o4711)
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (TIME, TIME + len(path.name)), follow_symlinks=False)
    return folder


SIZES = {
    "empty": 0,
    "usr/lib/small": 50,
    "usr/lib/less": 131,
    "block": 4096,
    "usr/lib/some": 70_001,
    "usr/lib/large": 1_300_000,
    "usr/share/doc/deep/down/text": 200_000,
}


def check_files(system: FileSystem, tree: Path) -> None:
    """Every path, what it says of itself, and its content."""
    there = {file.path: file for file in system.files if not file.path.startswith("/lost+found")}
    expected = dict(_paths(tree))
    assert sorted(there) == sorted(expected)
    for path, on_disk in expected.items():
        _check_file(system, there[path], on_disk)
    assert there["/usr/second name"].inode == there["/usr/lib/large"].inode
    assert there["/empty"].inode != there["/block"].inode


def check_layout(layout: Layout, path: Path) -> None:
    """It covers the image once, and everything has an owner."""
    reached = 0
    for extent in layout.extents:
        assert extent.start == reached < extent.stop
        reached = extent.stop
    assert reached == layout.size == path.stat().st_size
    owners = {extent.owner: extent.kind for extent in layout.extents}
    assert "unaccounted" not in owners
    assert owners["/random"] is Kind.FILE
    assert not {"/empty", "/usr/lib/second name"} & set(owners)


def check_damage(path: Path, work: Path, regions: list[tuple[int, int]], tries: int = 40) -> None:
    """Damaged images are refused, or read differently; never a traceback, never an endless loop."""
    chance = random.Random(2)
    sound = path.read_bytes()
    work.write_bytes(sound)
    refused = 0
    for _ in range(tries):
        with work.open("rb+") as file:
            places = [chance.randrange(*chance.choice(regions)) for _ in range(chance.randint(1, 6))]
            for at in places:
                byte = chance.choice([0, 0xFF, sound[at] ^ 1 << chance.randrange(8)])
                os.pwrite(file.fileno(), bytes([byte]), at)
            refused += _is_refused(work)
            for at in places:
                os.pwrite(file.fileno(), sound[at : at + 1], at)
    assert refused > tries // 20
    for size in (0, 1, 1000, 3000, len(sound) // 2, len(sound) - 4097):
        work.write_bytes(sound[:size])
        with pytest.raises(OtaError) as caught:
            filesystems.layout(work)
        assert caught.value.code in ("image-unreadable", "filesystem-unknown")


def _is_refused(path: Path) -> bool:
    """Whether reading all that can be read ends with an error; it has to be a right one."""
    try:
        with filesystems.opened(path) as system:
            system.layout()
            for file in system.files:
                if file.is_file and file.size < 4 << 20:
                    for _ in system.content(file):
                        pass
    except OtaError as error:
        assert error.code in ("image-unreadable", "filesystem-unknown")
        return True
    return False


def _check_file(system: FileSystem, file: File, on_disk: Path) -> None:
    status = on_disk.lstat()
    assert (file.mode, file.uid, file.gid) == (status.st_mode, status.st_uid, status.st_gid), file
    if file.path != "/":  # mke2fs gives the root its own
        assert file.mtime == int(status.st_mtime)
    if stat.S_ISLNK(status.st_mode):
        assert file.target == str(on_disk.readlink())
    if file.is_file:
        assert file.size == status.st_size
        assert bool(b"".join(system.content(file)) == on_disk.read_bytes()), file.path


def _paths(tree: Path) -> Iterator[tuple[str, Path]]:
    yield "/", tree
    for path in tree.rglob("*"):
        name = os.fsencode(path.relative_to(tree)).decode("utf-8", "backslashreplace")
        yield f"/{name}", path
