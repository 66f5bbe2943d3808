"""ext4 images made again, by mke2fs of a tarball, which says in which order files are to stand."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path
from typing import Final
from uuid import UUID

from packager.lint.ext4_draft import Ext4Draft
from packager.lint.remake import Maker, Options
from packager.lint.side import Side

PROGRAM: Final = "mke2fs"

_COMPATIBLE: Final = {
    0x4: "has_journal", 0x8: "ext_attr", 0x10: "resize_inode", 0x20: "dir_index", 0x200: "sparse_super2",
    0x1000: "orphan_file",
}  # fmt: skip
_INCOMPATIBLE: Final = {
    0x2: "filetype", 0x40: "extent", 0x80: "64bit", 0x200: "flex_bg", 0x400: "ea_inode",
    0x2000: "metadata_csum_seed", 0x4000: "large_dir", 0x8000: "inline_data",
}  # fmt: skip
_READ_ONLY: Final = {
    0x1: "sparse_super", 0x2: "large_file", 0x8: "huge_file", 0x10: "uninit_bg", 0x20: "dir_nlink",
    0x40: "extra_isize", 0x100: "quota", 0x400: "metadata_csum", 0x2000: "project",
}  # fmt: skip


def options(side: Side) -> Options:
    """What mke2fs was told, the features first."""
    draft = Ext4Draft(side.bytes)
    rows = ((_COMPATIBLE, "compatible"), (_INCOMPATIBLE, "incompatible"), (_READ_ONLY, "read-only"))
    features = [name for names, field in rows for bit, name in names.items() if draft.number(field) & bit]
    sizes = ["-b", str(draft.block), "-I", str(draft.inode_size), "-N", str(draft.number("inodes"))]
    seed = f"hash_seed={UUID(bytes=draft.field('hash seed'))},lazy_itable_init=0,lazy_journal_init=0"
    words = [
        "-O",
        ",".join(["none", *features]),
        *sizes,
        "-U",
        str(UUID(bytes=draft.field("uuid"))),
        "-E",
        seed,
    ]
    return (*words, str(len(side.bytes)))


def without_journal(told: Options) -> Options:
    """The same, but no journal."""
    return tuple(word.replace(",has_journal", "") for word in told)


def command(tree: Path, image: Path, options: Options, priorities: Path) -> list[str | Path]:
    """How such an image is made, of a tarball that is made on the way."""
    *words, size = options
    with image.open("wb") as file:
        file.truncate(int(size))
    tar = image.with_suffix(".tar")
    order = [re.sub(r"\\(.)", r"\1", line.rpartition(" ")[0]) for line in priorities.read_text().splitlines()]
    rank = {name: at for at, name in enumerate(order)}
    paths = sorted(tree.rglob("*"))
    folders = [path for path in paths if path.is_dir() and not path.is_symlink()]
    files = [path for path in paths if path.is_symlink() or not path.is_dir()]
    files.sort(key=lambda path: rank.get(str(path.relative_to(tree)), len(rank)))
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in (*folders, *files):
            archive.add(path, str(path.relative_to(tree)), recursive=False, filter=_of_root)
    return [PROGRAM, "-q", "-t", "ext4", "-m", "0", *words, "-d", tar, image]


def reads_tarballs() -> bool:
    """Whether mke2fs is new enough."""
    said = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True).stderr
    version = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    return version is not None and tuple(map(int, version.groups())) >= (1, 47, 1)


MAKER: Final = Maker(PROGRAM, options, command, reads_tarballs, limit=1 << 30, keeps_order=True)
"""Makes an ext4 again."""


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
