"""Small trees and the images that real tools make of them, for tests of what looks into images."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

EPOCH = 1735689600  # SOURCE_DATE_EPOCH, 2025-01-01
UUID = "6f6d0f6e-7a1b-4c39-9d55-0123456789ab"
SEED = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

Tree = Mapping[str, bytes]
"""Contents by path."""


def tree(files: int = 160, *, largest: int = 30_000) -> dict[str, bytes]:
    """Files that compress as programs do, in some folders."""
    chance = random.Random(6)
    words = [chance.randbytes(chance.randint(2, 9)) for _ in range(3000)]
    return {
        f"usr/{index % 11:02}/file{index:04}": b"".join(
            chance.choices(words, k=chance.randint(20, largest // 6))
        )
        for index in range(files)
    }


def changed(tree: Tree, every: int = 40) -> dict[str, bytes]:
    """The same tree with some bytes of some files changed."""
    return {
        path: data[:9] + b"another version"[: len(data) - 9] + data[24:] if index % every == 7 else data
        for index, (path, data) in enumerate(tree.items())
    }


def gzipped(data: bytes, mtime: int, name: str = "") -> bytes:
    """As gzip writes it, with the name of what was compressed if there is one."""
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", 9, stream, mtime) as writer:
        writer.write(data)
    return stream.getvalue()


def write_tar(tree: Tree, path: Path, order: Sequence[str] | None = None) -> Path:
    """A tarball of it, in order of names unless told."""
    folders = sorted({str(parent) for name in tree for parent in Path(name).parents} - {"."})
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for folder in folders:
            member = tarfile.TarInfo(folder)
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, EPOCH
            archive.addfile(member)
        for name in order or sorted(tree):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(tree[name]), 0o644, EPOCH
            archive.addfile(member, io.BytesIO(tree[name]))
    return path


def write_folder(tree: Tree, folder: Path) -> Path:
    """The tree itself; its files are as old as EPOCH says, but changed now."""
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (EPOCH, EPOCH))
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            path.chmod(0o755)
            os.utime(path, (EPOCH, EPOCH))
    return folder


def ext4(
    source: Path,
    image: Path,
    *,
    uuid: str = UUID,
    seed: str = SEED,
    features: str = "^has_journal",
    epoch: int = EPOCH,
    program: str = "mke2fs",
    size: int = 8 << 20,
) -> Path:
    """What mke2fs makes of a tarball or a folder."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
    times = {"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch)}
    extended = f"hash_seed={seed},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
    fixed = [program, "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-I", "256"]
    told = ["-U", uuid, "-E", extended]
    features = f"^metadata_csum_seed,^orphan_file,{features}"
    _run([*fixed, *told, "-O", features, "-d", source, image], **times)
    return image


def squashfs(folder: Path, image: Path, *options: str) -> Path:
    """What mksquashfs makes of a folder."""
    image.unlink(missing_ok=True)
    fixed = ["-noappend", "-quiet", "-no-progress", "-all-root", "-processors", "1"]
    _run(["mksquashfs", folder, image, *fixed, *options], SOURCE_DATE_EPOCH=str(EPOCH))
    return image


def erofs(folder: Path, image: Path, *options: str, uuid: str = UUID) -> Path:
    """What mkfs.erofs makes of a folder."""
    image.unlink(missing_ok=True)
    _run(["mkfs.erofs", "--quiet", f"-T{EPOCH}", f"-U{uuid}", *options, image, folder])
    return image


def _run(command: Sequence[str | Path], **environment: str) -> None:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
