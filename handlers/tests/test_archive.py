"""Archives are unpacked as stock SWUpdate does it, and refused where they name what is not theirs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard

from ota.tests import stock
from ota.tests.entries import SLOT_B, entry, install, make_ext4, mounted, needs_root, package
from ota.tests.world import Outcome, World

ON_B = {"device": SLOT_B, "filesystem": "ext4"}
CREATES = {"create-destination": "true"}
CONTENT = b"some content\n" * 5000

Change = Callable[[tarfile.TarInfo], None]


class Archive:
    """A tar that is put together by hand."""

    def __init__(self, path: Path, kind: int = tarfile.PAX_FORMAT) -> None:
        self.path = path
        self._tar = tarfile.open(path, "w", format=kind)  # noqa: SIM115 closed by `done`

    def add(self, name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> Archive:
        member = tarfile.TarInfo(name)
        member.type, member.size, member.mode = kind, len(data), 0o755 if kind == tarfile.DIRTYPE else 0o644
        for field, value in fields.items():
            setattr(member, field, value)
        self._tar.addfile(member, io.BytesIO(data))
        return self

    def file(self, name: str, data: bytes = CONTENT, **fields: Any) -> Archive:
        return self.add(name, data=data, **fields)

    def folder(self, name: str, **fields: Any) -> Archive:
        return self.add(name, tarfile.DIRTYPE, **fields)

    def link(self, name: str, target: str) -> Archive:
        return self.add(name, tarfile.SYMTYPE, linkname=target)

    def hard_link(self, name: str, target: str) -> Archive:
        return self.add(name, tarfile.LNKTYPE, linkname=target)

    def done(self) -> Path:
        self._tar.close()
        return self.path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """Where it is unpacked: a folder in a folder, so that a way out is noticed."""
    folder = tmp_path / "around/into"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def new(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "payload.tar")


def unpack(world: World, payload: Path, into: Path, kind: str = "archive", **attributes: object) -> Outcome:
    return install(world, payload, files=entry(kind, payload, path=into, **attributes))


def holds(into: Path, name: str = "folder/file") -> bool:
    return (into / name).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["archive", "tar"])
@pytest.mark.parametrize("section", ["images", "files"])
def test_both_words_in_both_sections(world: World, new: Archive, into: Path, kind: str, section: str) -> None:
    payload = new.file("folder/file").done()
    outcome = install(world, payload, **{section: entry(kind, payload, path=into)})
    assert outcome.status == 0
    assert holds(into)


@pytest.mark.parametrize("kind", ["ustar", "gnu", "pax", "v7", "newc", "odc", "zip", "stored zip"])
def test_formats(world: World, tmp_path: Path, into: Path, kind: str) -> None:
    tree, payload = tmp_path / "tree", tmp_path / "payload"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder/file").write_bytes(CONTENT)
    (tree / "folder/ä-not-ascii").write_bytes(CONTENT)
    if "zip" in kind:
        method = zipfile.ZIP_STORED if kind == "stored zip" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(payload, "w", method) as packed:
            for name in ("folder/file", "folder/ä-not-ascii"):
                packed.write(tree / name, name)
    elif kind in ("newc", "odc"):
        names = b"folder\nfolder/file\nfolder/\xc3\xa4-not-ascii\n"
        command: list[str | Path] = [world.tool("cpio"), "-o", "-H", kind, "--quiet"]
        packed_bytes = subprocess.run(command, input=names, cwd=tree, capture_output=True, check=True).stdout
        payload.write_bytes(packed_bytes)
    else:
        subprocess.run(["tar", "-C", tree, "-c", "-H", kind, "-f", payload, "."], check=True)
    assert unpack(world, payload, into).status == 0
    assert holds(into) and holds(into, "folder/ä-not-ascii")


@pytest.mark.parametrize(
    "compress",
    [
        gzip.compress,
        lzma.compress,
        zstandard.compress,
        bz2.compress,
        lz4.frame.compress,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    ],
    ids=["gz", "xz", "zst", "bz2", "lz4", "lzma"],
)
def test_compressed_inside_and_out(
    world: World, new: Archive, into: Path, compress: Callable[[bytes], bytes]
) -> None:
    payload = new.file("folder/file").done()
    payload.write_bytes(compress(payload.read_bytes()))
    assert unpack(world, payload, into).status == 0
    assert holds(into)
    (into / "folder/file").unlink()
    payload.write_bytes(gzip.compress(payload.read_bytes()))
    assert unpack(world, payload, into, compressed="zlib").status == 0
    assert holds(into)


@pytest.mark.parametrize("name", ["BZh9", "]", "\x1f"])
def test_a_name_that_begins_like_a_compressed_stream_is_a_name(
    world: World, new: Archive, into: Path, name: str
) -> None:
    assert unpack(world, new.file(name).done(), into).status == 0
    assert holds(into, name)


@needs_root
def test_attributes_are_kept_where_that_is_asked_for(world: World, new: Archive, into: Path) -> None:
    fields: dict[str, Any] = {"uid": 1000, "gid": 1001, "mode": 0o4751, "mtime": 1_000_000_000}
    payload = (
        new.folder("folder", mode=0o500, mtime=1_000_000_000)
        .file("folder/file", pax_headers={"SCHILY.xattr.user.colour": "blue"}, **fields)
        .add("folder/pipe", tarfile.FIFOTYPE)
        .add("folder/null", tarfile.CHRTYPE, devmajor=1, devminor=3)
        .done()
    )
    assert unpack(world, payload, into, preserve_attributes=True).status == 0
    status = (into / "folder/file").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1001, 0o4751)
    assert status.st_mtime == (into / "folder").stat().st_mtime == 1_000_000_000
    assert stat.S_IMODE((into / "folder").stat().st_mode) == 0o500
    assert os.getxattr(into / "folder/file", "user.colour") == b"blue"
    assert (into / "folder/pipe").is_fifo() and (into / "folder/null").is_char_device()


@needs_root
def test_attributes_are_ours_where_it_is_not(world: World, new: Archive, into: Path) -> None:
    payload = new.file("folder/file", uid=1000, gid=1001, mode=0o4777, mtime=1_000_000_000).done()
    before = os.umask(0o022)
    try:
        assert unpack(world, payload, into).status == 0
    finally:
        os.umask(before)
    status = (into / "folder/file").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o755)
    assert status.st_mtime > 1_500_000_000


def test_what_is_there_is_replaced_and_what_is_not_in_the_archive_stays(
    world: World, new: Archive, into: Path
) -> None:
    (into / "folder").mkdir()
    (into / "folder/file").write_bytes(b"old")
    (into / "folder/other").write_bytes(b"other")
    os.link(into / "folder/file", into / "name of the old")
    (into / "link").symlink_to("folder/other")
    payload = new.folder("folder").file("folder/file").file("link").file("twice", b"first").file("twice")
    assert unpack(world, payload.done(), into).status == 0
    assert holds(into) and holds(into, "link") and holds(into, "twice")
    assert not (into / "link").is_symlink()
    assert (into / "folder/other").read_bytes() == b"other"
    assert (into / "name of the old").read_bytes() == b"old"


def test_links_among_members_are_made(world: World, new: Archive, into: Path) -> None:
    payload = new.file("folder/file").link("soft", "folder/file").hard_link("hard", "folder/file")
    assert unpack(world, payload.link("root", "/usr/bin/env").done(), into).status == 0
    assert (into / "soft").readlink() == Path("folder/file")
    assert (into / "hard").samefile(into / "folder/file")
    assert (into / "root").readlink() == Path("/usr/bin/env")


UNSAFE: dict[str, Callable[[Archive], Archive]] = {
    "..": lambda new: new.file("../file"),
    ".. behind a folder": lambda new: new.folder("a").file("a/../../file"),
    "absolute": lambda new: new.file("/tmp/otakit-test-absolute"),
    "through an own link": lambda new: new.link("way", "..").file("way/file"),
    "through an own absolute link": lambda new: new.link("way", "/tmp").file("way/otakit-test"),
    "a folder over an own link": lambda new: new.link("way", "..").folder("way").file("way/file"),
    "through a hard link to an own link": lambda new: (
        new.link("way", "..").hard_link("same", "way").file("same/file")
    ),
    "a link's name spelled otherwise": lambda new: new.link("./way", "..").file("way//./file"),
    "a link that climbs out": lambda new: new.link("way", "../" * 40 + "etc"),
    "a hard link to what lies above": lambda new: new.hard_link("stolen", "../secret"),
    "an absolute hard link": lambda new: new.hard_link("stolen", "/etc/shadow"),
    "a hard link through an own link": lambda new: new.link("way", "..").hard_link("stolen", "way/secret"),
    "a device": lambda new: new.add("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a disk": lambda new: new.add("disk", tarfile.BLKTYPE, devmajor=8, devminor=0),
    "a pipe": lambda new: new.add("pipe", tarfile.FIFOTYPE),
    "a part of a name": lambda new: new.file("x" * 256),
    "a long name": lambda new: new.file("/".join(["x" * 200] * 21)),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_one_unsafe_member_at_the_end_and_nothing_is_unpacked(
    world: World, new: Archive, into: Path, case: str
) -> None:
    (into.parent / "secret").write_bytes(b"secret")
    is_untouched = world.untouched()
    outcome = unpack(world, UNSAFE[case](new.file("folder/file")).done(), into)
    assert (outcome.status, outcome.code) == (3, "payload-unsafe")
    assert os.listdir(into) == []
    assert os.listdir(into.parent) == ["into", "secret"] or os.listdir(into.parent) == ["secret", "into"]
    assert not Path("/tmp/otakit-test-absolute").exists()
    assert is_untouched()


@needs_root
def test_links_of_the_device_are_followed_inside_its_file_system(
    world: World, new: Archive, into: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "lib").symlink_to("/usr/lib")
    (tree / "out").symlink_to(into)
    (tree / str(into).lstrip("/")).mkdir(parents=True)
    make_ext4(world, world.slot_b, tree)
    payload = new.folder("lib").file("lib/folder/file").file("out/folder/file").done()
    text = entry("archive", payload, path="/", preserve_attributes=True, **ON_B)
    assert install(world, payload, files=text).status == 0
    with mounted(world, world.slot_b) as root:
        assert (root / "lib").is_symlink() and holds(root / "usr/lib")
        assert holds(root / str(into).lstrip("/"))
    assert os.listdir(into) == []


@needs_root
def test_a_root_file_system_goes_onto_a_fresh_one(world: World, new: Archive, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    make_ext4(world, world.slot_b, tmp_path / "tree")
    new.folder("./dev").add("./dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    new.link("./lib", "usr/lib").folder("./usr/lib").file("./usr/lib/file").link("./run", "/var/run")
    payload = new.done()
    text = entry("tar", payload, path="/", preserve_attributes=True, **ON_B)
    assert install(world, payload, images=text).status == 0
    with mounted(world, world.slot_b) as root:
        assert (root / "dev/null").is_char_device() and holds(root, "usr/lib/file")


@needs_root
@pytest.mark.parametrize("compressed", [None, "zstd"])
def test_what_does_not_fit_is_refused_before_anything_is_unpacked(
    world: World, new: Archive, tmp_path: Path, compressed: str | None
) -> None:
    (tmp_path / "tree").mkdir()
    make_ext4(world, world.slot_b, tmp_path / "tree")
    for number in range(20):
        new.file(f"file{number}", bytes(1 << 20))
    payload, attributes = new.done(), {}
    if compressed:
        payload.write_bytes(zstandard.compress(payload.read_bytes()))
        attributes = {"compressed": compressed}
    is_untouched = world.untouched()
    outcome = install(world, payload, files=entry("archive", payload, path="/", **attributes, **ON_B))
    assert (outcome.status, outcome.code) == (4, "file-system-full")
    assert is_untouched()


@needs_root
def test_room_that_replaced_files_leave_is_counted(world: World, new: Archive, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(9):
        (tree / f"file{number}").write_bytes(os.urandom(1 << 20))
        new.file(f"file{number}", os.urandom(1 << 20))
    make_ext4(world, world.slot_b, tree)
    payload = new.done()
    assert install(world, payload, files=entry("archive", payload, path="/", **ON_B)).status == 0


@needs_root
def test_one_name_again_and_again_is_not_room_that_is_left_again(
    world: World, new: Archive, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "same").write_bytes(os.urandom(8 << 20))
    make_ext4(world, world.slot_b, tree)
    for _ in range(17):
        new.file("same", bytes(1 << 20))
    payload = new.done()
    is_untouched = world.untouched()
    text = entry("archive", payload, path="/", **ON_B)
    assert install(world, payload, files=text).code == "file-system-full"
    assert is_untouched()


@pytest.mark.parametrize(
    "bomb", ["headers without files", "headers alone", "zeros behind it", "a file without end"]
)
def test_archives_that_hardly_end(world: World, tmp_path: Path, into: Path, bomb: str) -> None:
    """Some kilobytes that become gigabytes; they are refused long before."""
    payload = tmp_path / "bomb"
    with zstandard.open(payload, "wb") as stream:
        if bomb == "zeros behind it":
            pieces = [bytes(1 << 20)] * 2048
        elif bomb == "headers alone":
            pieces = [pax(tarfile.XGLTYPE, 512) * 1024] * 1024
        elif bomb == "headers without files":
            pieces = [commented("empty", 1 << 19)] * 2048
        else:
            pieces = [header("same", 1 << 50)] + [bytes(1 << 20)] * 64
        for piece in pieces:
            stream.write(piece)
    outcome = unpack(world, payload, into, compressed="zstd")
    codes = {"headers without files": "payload-unsafe", "a file without end": "file-system-full"}
    assert outcome.code == codes.get(bomb, "payload-format")
    assert os.listdir(into) == []


@pytest.mark.parametrize("damage", ["cut", "noise", "header"])
def test_a_damaged_archive_is_refused_before_anything_is_unpacked(
    world: World, new: Archive, into: Path, damage: str
) -> None:
    payload = new.file("first").file("folder/file").done()
    data = bytearray(payload.read_bytes())
    match damage:
        case "cut":
            del data[100_000:]
        case "noise":
            data[:] = os.urandom(len(data))
        case "header":
            second = data.index(b"folder/file")
            data[second : second + 5] = b"FOLDE"
    payload.write_bytes(data)
    outcome = unpack(world, payload, into)
    assert (outcome.status, outcome.code) == (3, "payload-format")
    assert os.listdir(into) == []


def test_an_empty_archive_is_one(world: World, new: Archive, into: Path) -> None:
    assert unpack(world, new.done(), into).status == 0
    assert os.listdir(into) == []


def test_a_missing_folder_is_made_where_that_is_asked_for_only(
    world: World, new: Archive, into: Path
) -> None:
    payload = new.file("folder/file").done()
    assert unpack(world, payload, into / "a/b").code == "path-unusable"
    assert unpack(world, payload, into / "a/b", properties=CREATES).status == 0
    assert holds(into / "a/b")
    (into / "file").write_bytes(b"")
    assert unpack(world, payload, into / "file", properties=CREATES).code == "path-unusable"


def test_a_file_goes_into_a_folder_that_an_earlier_archive_brings(
    world: World, new: Archive, into: Path, tmp_path: Path
) -> None:
    payload, other = new.folder("folder").done(), tmp_path / "other"
    other.write_bytes(CONTENT)
    texts = f"{entry('archive', payload, path=into)}, {entry('rawfile', other, path=into / 'folder/file')}"
    assert install(world, payload, other, files=texts).status == 0
    assert holds(into)


def test_only_an_archive_loads_libarchive() -> None:
    program = "import sys, ota.cli; sys.exit('ota.native.archive' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.compat
@pytest.mark.parametrize("preserves", [True, False])
def test_stock_unpacks_the_same(world: World, new: Archive, into: Path, preserves: bool) -> None:
    new.folder("folder", mode=0o750, mtime=1_000_000_000)
    new.file("folder/file", uid=1000, mode=0o4754, mtime=1_000_000_000).link("soft", "folder/file")
    payload = new.hard_link("hard", "folder/file").done()
    made = package(world, payload, files=entry("archive", payload, path=into, preserve_attributes=preserves))

    def outcome() -> list[tuple[str, int, int, int]]:
        found = []
        for path in sorted(into.rglob("*")):
            status = path.lstat()
            when = int(status.st_mtime) if preserves and not path.is_symlink() else 0
            found.append((str(path), status.st_mode, status.st_uid, when))
        return found

    assert stock.install(world, stock.BACKPORTS, made).installed
    theirs = outcome()
    for path in (into / "folder/file", into / "soft", into / "hard"):
        path.unlink()
    (into / "folder").rmdir()
    assert world.ota("install", made).status == 0
    assert len(theirs) == 4 and outcome() == theirs


def header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def commented(name: str, size: int) -> bytes:
    return pax(tarfile.XHDTYPE, size) + header(name, 0)


def pax(kind: bytes, size: int) -> bytes:
    """An extended header of so many bytes that says nothing."""
    member = tarfile.TarInfo("pax")
    member.type, member.size = kind, size
    start = f"{size} comment=".encode()
    return member.tobuf(tarfile.USTAR_FORMAT) + start + b"x" * (size - len(start) - 1) + b"\n"
