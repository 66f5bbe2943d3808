"""Each cause is found in images that have it and no other, with what it costs; clean images give nothing."""

from __future__ import annotations

import json
import os
import py_compile
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

from ota.errors import ConfigError
from ota.formats import zchunk
from packager import cli, filesystems, zck
from packager.lint import Finding, lint
from packager.tests import rootfs
from packager.tests.rootfs import EPOCH, Tree

OTHER = "11111111-2222-4333-8444-555555555555"
LATER = EPOCH + 86400 * 30

Options = tuple[str, ...]


def fetched(image: Path, base: Path) -> int:
    """What a device with the base downloads, by the .zck."""
    known = {chunk.digest for chunk in manifest(base)}
    missing = {chunk.digest: chunk.stop - chunk.start for chunk in manifest(image) if any_byte(image, chunk)}
    return sum(size for digest, size in missing.items() if digest not in known)


def manifest(image: Path) -> zchunk.Header:
    path = image.with_suffix(".zck")
    if not path.exists():
        zck.write(image, path)
    return zchunk.parse(path.read_bytes())


def any_byte(image: Path, chunk: zchunk.Chunk) -> bool:
    with image.open("rb") as file:
        file.seek(chunk.offset)
        return any(file.read(chunk.length))


def only(findings: tuple[Finding, ...], code: str) -> Finding:
    assert [finding.code for finding in findings] == [code]
    return findings[0]


def check_cost(caused: Path, clean: Path, base: Path, code: str) -> Finding:
    """The one finding, whose cost is that of the two images that were really made."""
    answer = lint(caused, base)
    finding = only(answer.findings, code)
    measured = fetched(caused, base) - fetched(clean, base)
    assert finding.cost_bytes is not None and measured > 0
    assert finding.cost_bytes == pytest.approx(measured, rel=0.1)
    assert lint(clean, base).findings == ()
    return finding


@pytest.fixture(scope="module")
def trees() -> tuple[Tree, Tree]:
    """Of a release and of the next."""
    before = rootfs.tree()
    return before, rootfs.changed(before)


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory, trees: tuple[Tree, Tree]) -> Mapping[str, Path]:
    """old.ext4 and new.ext4, both clean, with the tarballs they are of."""
    folder = tmp_path_factory.mktemp("ext4")
    made = {}
    for name, tree in zip(("old", "new"), trees, strict=True):
        made[name + ".tar"] = rootfs.write_tar(tree, folder / f"{name}.tar")
        made[name] = rootfs.ext4(made[name + ".tar"], folder / f"{name}.ext4")
    return made


def test_a_clean_image_gives_nothing(ext4: Mapping[str, Path]) -> None:
    assert lint(ext4["new"]).findings == ()
    answer = lint(ext4["new"], ext4["old"])
    assert answer.findings == ()
    assert answer.update_bytes == fetched(ext4["new"], ext4["old"])


def test_another_uuid(ext4: Mapping[str, Path], tmp_path: Path) -> None:
    caused = rootfs.ext4(ext4["new.tar"], tmp_path / "caused.ext4", uuid=OTHER)
    assert rootfs.UUID in check_cost(caused, ext4["new"], ext4["old"], "ext4-uuid").mend


@pytest.mark.build
def test_another_hash_seed(ext4: Mapping[str, Path], tmp_path: Path) -> None:
    caused = rootfs.ext4(ext4["new.tar"], tmp_path / "caused.ext4", seed=OTHER)
    assert rootfs.SEED in check_cost(caused, ext4["new"], ext4["old"], "ext4-hash-seed").mend


@pytest.mark.build
def test_other_times(ext4: Mapping[str, Path], tmp_path: Path) -> None:
    caused = rootfs.ext4(ext4["new.tar"], tmp_path / "caused.ext4", epoch=LATER)
    check_cost(caused, ext4["new"], ext4["old"], "ext4-times")


@pytest.mark.build
@pytest.mark.tool("mke2fs-1.47.0")
def test_an_mke2fs_that_does_not_clamp_times(trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    old, new = (rootfs.write_folder(tree, tmp_path / str(at)) for at, tree in enumerate(trees))
    base = rootfs.ext4(old, tmp_path / "old.ext4")
    clean = rootfs.ext4(new, tmp_path / "new.ext4")
    caused = rootfs.ext4(new, tmp_path / "caused.ext4", program="mke2fs-1.47.0")
    finding = check_cost(caused, clean, base, "ext4-old-mke2fs")
    assert len(finding.paths) > len(trees[1])
    assert only(lint(caused).findings, "ext4-old-mke2fs").cost_bytes is None


def test_another_order_of_files(ext4: Mapping[str, Path], trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    tree = trees[1]
    names = random.Random(1).sample(sorted(tree), len(tree))
    tar = rootfs.write_tar(tree, tmp_path / "caused.tar", names)
    check_cost(rootfs.ext4(tar, tmp_path / "caused.ext4"), ext4["new"], ext4["old"], "ext4-file-order")


@pytest.mark.build
def test_order_and_journal_where_files_grow_come_and_go(trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    after = dict(trees[1])
    for path in sorted(after)[5::30]:
        after[path] += random.Random(path).randbytes(9000)
        after[path + "x"] = random.Random(path).randbytes(20_000)
    del after[sorted(after)[60]]
    base = rootfs.ext4(rootfs.write_tar(trees[0], tmp_path / "old.tar"), tmp_path / "old.ext4")
    tar = rootfs.write_tar(after, tmp_path / "new.tar")
    clean = rootfs.ext4(tar, tmp_path / "new.ext4")
    names = random.Random(2).sample(sorted(after), len(after))
    shuffled = rootfs.write_tar(after, tmp_path / "shuffled.tar", names)
    check_cost(rootfs.ext4(shuffled, tmp_path / "shuffled.ext4"), clean, base, "ext4-file-order")
    journalled = rootfs.ext4(tar, tmp_path / "journal.ext4", features="has_journal")
    check_cost(journalled, clean, base, "ext4-journal")


@pytest.mark.build
def test_without_making_images_again_some_costs_stay_open(
    trees: tuple[Tree, Tree], ext4: Mapping[str, Path], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    names = random.Random(1).sample(sorted(trees[1]), len(trees[1]))
    tar = rootfs.write_tar(trees[1], tmp_path / "caused.tar", names)
    caused = rootfs.ext4(tar, tmp_path / "caused.ext4")
    assert only(lint(caused, ext4["old"], remake_limit=0).findings, "ext4-file-order").cost_bytes is None
    base, image = squashfs_pair(folders, tmp_path, "-b", "1M")
    assert only(lint(image, base, remake_limit=0).findings, "squashfs-block-size").cost_bytes is None


def test_a_program_that_cannot_make_such_images_leaves_costs_open(
    ext4: Mapping[str, Path],
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    base, image = squashfs_pair(folders, tmp_path, "-b", "1M")
    program = tmp_path / "bin" / "mksquashfs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho no such compressor >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert only(lint(image, base).findings, "squashfs-block-size").cost_bytes is None
    assert "no such compressor" in caplog.text


def test_a_journal(ext4: Mapping[str, Path], tmp_path: Path) -> None:
    caused = rootfs.ext4(ext4["new.tar"], tmp_path / "caused.ext4", features="has_journal")
    check_cost(caused, ext4["new"], ext4["old"], "ext4-journal")
    assert only(lint(caused).findings, "ext4-journal").cost_bytes is None


@pytest.mark.build
@pytest.mark.tool("e2fsck")
def test_folders_that_another_hash_seed_sorts(tmp_path: Path) -> None:
    """What Yocto does to all images: e2fsck -D."""
    names = [f"share/a-rather-long-name-of-a-file-{at:05}" for at in range(600)]
    tar = rootfs.write_tar(dict.fromkeys(names, b"content"), tmp_path / "tar")
    images = []
    for name, seed in (("old", rootfs.SEED), ("clean", rootfs.SEED), ("caused", OTHER)):
        images.append(rootfs.ext4(tar, tmp_path / f"{name}.ext4", seed=seed))
        subprocess.run(
            ["e2fsck", "-fyD", images[-1]], env={**os.environ, "E2FSCK_TIME": str(EPOCH)}, capture_output=True
        )
    base, clean, caused = images
    finding = check_cost(caused, clean, base, "ext4-hash-seed")
    assert finding.paths == ("/share",)


@pytest.mark.build
@pytest.mark.tool("mksquashfs")
def test_gzip_files_with_times_in_squashfs(trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    def made(tree: Tree, name: str, mtime: int) -> Path:
        packed = {path + ".gz": rootfs.gzipped(data, mtime) for path, data in tree.items()}
        return rootfs.squashfs(rootfs.write_folder(packed, tmp_path / name), tmp_path / f"{name}.squashfs")

    base, clean = made(trees[0], "old", 0), made(trees[1], "new", 0)
    check_cost(made(trees[1], "caused", LATER), clean, base, "gzip-time")


@pytest.mark.build
def test_a_journal_that_was_written(ext4: Mapping[str, Path], tmp_path: Path) -> None:
    base = rootfs.ext4(ext4["old.tar"], tmp_path / "old.ext4", features="has_journal")
    clean = rootfs.ext4(ext4["new.tar"], tmp_path / "new.ext4", features="has_journal")
    journal = next(extent for extent in filesystems.layout(clean).extents if extent.kind == "journal")
    caused = tmp_path / "caused.ext4"
    data = bytearray(clean.read_bytes())
    data[journal.start + 4096 : journal.start + 20480] = random.Random(2).randbytes(16384)
    caused.write_bytes(data)
    measured = fetched(caused, base) - fetched(clean, base)
    assert only(lint(clean, base).findings, "ext4-journal").cost_bytes == 0
    assert only(lint(caused, base).findings, "ext4-journal").cost_bytes == pytest.approx(measured, rel=0.1)


def test_gzip_files_with_times(trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    def made(tree: Tree, name: str, mtime: int, of: str = "") -> Path:
        packed = {
            path + ".gz" if at % 3 == 0 else path: rootfs.gzipped(data, mtime, of) if at % 3 == 0 else data
            for at, (path, data) in enumerate(sorted(tree.items()))
        }
        return rootfs.ext4(rootfs.write_tar(packed, tmp_path / f"{name}.tar"), tmp_path / f"{name}.ext4")

    base, clean = made(trees[0], "old", 0), made(trees[1], "new", 0)
    finding = check_cost(made(trees[1], "timed", LATER), clean, base, "gzip-time")
    assert len(finding.paths) == (len(trees[1]) + 2) // 3
    check_cost(made(trees[1], "named", LATER, "/tmp/build.9231/changelog"), clean, base, "gzip-time")


@pytest.mark.build
def test_byte_code_that_is_valid_by_time(trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    def made(tree: Tree, name: str, mode: PycInvalidationMode, mtime: int) -> Path:
        folder = tmp_path / name
        for path, data in tree.items():
            source = folder / f"{path}.py"
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(f"data = {data[:2500]!r}")
            os.utime(source, (mtime, mtime))
            py_compile.compile(str(source), str(folder / f"{path}.pyc"), path, invalidation_mode=mode)
        code = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.pyc")}
        return rootfs.ext4(rootfs.write_tar(code, tmp_path / f"{name}.tar"), tmp_path / f"{name}.ext4")

    by_time, by_hash = PycInvalidationMode.TIMESTAMP, PycInvalidationMode.UNCHECKED_HASH
    base = made(trees[0], "old", by_time, EPOCH)
    measured = fetched(caused := made(trees[1], "caused", by_time, LATER), base)
    measured -= fetched(made(trees[1], "new", by_time, EPOCH), base)
    finding = only(lint(caused, base).findings, "pyc-time")
    assert finding.cost_bytes == pytest.approx(measured, rel=0.1) and len(finding.paths) == len(trees[1])
    hashed = [made(tree, f"hash{at}", by_hash, EPOCH + at) for at, tree in enumerate(trees)]
    assert lint(hashed[1], hashed[0]).findings == ()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, trees: tuple[Tree, Tree]) -> tuple[Path, Path]:
    """The two releases as folders."""
    folder = tmp_path_factory.mktemp("folders")
    old, new = (rootfs.write_folder(tree, folder / str(at)) for at, tree in enumerate(trees))
    return old, new


def squashfs_pair(folders: tuple[Path, Path], target: Path, *options: str) -> tuple[Path, Path]:
    target.mkdir(exist_ok=True)
    old, new = (rootfs.squashfs(folder, target / f"{folder.name}.squashfs", *options) for folder in folders)
    return old, new


def check_pairs(caused: tuple[Path, Path], clean: tuple[Path, Path], code: str) -> Finding:
    """As `check_cost`, where the cause is in both releases."""
    finding = only(lint(caused[1], caused[0]).findings, code)
    measured = fetched(caused[1], caused[0]) - fetched(clean[1], clean[0])
    assert finding.cost_bytes is not None and measured > 0
    assert finding.cost_bytes == pytest.approx(measured, rel=0.1)
    assert lint(clean[1], clean[0]).findings == ()
    return finding


@pytest.mark.build
@pytest.mark.tool("mksquashfs")
def test_large_blocks_of_squashfs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    caused = squashfs_pair(folders, tmp_path / "caused", "-b", "1M")
    check_pairs(caused, squashfs_pair(folders, tmp_path / "clean"), "squashfs-block-size")
    assert only(lint(caused[1]).findings, "squashfs-block-size").cost_bytes is None


@pytest.mark.build
@pytest.mark.tool("mksquashfs")
@pytest.mark.parametrize(
    "options", [("-comp", "zstd"), ("-comp", "xz"), ("-Xcompression-level", "4"), ("-b", "64K")]
)
def test_squashfs_with_other_options_than_the_base(
    folders: tuple[Path, Path], tmp_path: Path, options: Options
) -> None:
    base, clean = squashfs_pair(folders, tmp_path)
    caused = rootfs.squashfs(folders[1], tmp_path / "caused.squashfs", *options)
    check_cost(caused, clean, base, "squashfs-options")


@pytest.mark.build
@pytest.mark.tool("mksquashfs")
def test_compression_of_squashfs_where_changes_are_small(tmp_path: Path) -> None:
    before = rootfs.tree(20, largest=2_000_000)
    after = {path: b"another version" + data[15:] for path, data in before.items()}
    folders = rootfs.write_folder(before, tmp_path / "0"), rootfs.write_folder(after, tmp_path / "1")
    caused = squashfs_pair(folders, tmp_path / "caused", "-no-fragments")
    check_pairs(caused, squashfs_pair(folders, tmp_path / "clean", "-noD", "-noF"), "squashfs-compression")


@pytest.mark.build
@pytest.mark.tool("mksquashfs")
def test_fragments_of_squashfs_that_move(trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    """A small file grows, and the ends of others move from fragment to fragment."""
    before = trees[0]
    first, more = min(before), random.Random(3).randbytes(30_000)
    after = {path: data + (more if path == first else b"") for path, data in before.items()}
    folders = rootfs.write_folder(before, tmp_path / "0"), rootfs.write_folder(after, tmp_path / "1")
    caused = squashfs_pair(folders, tmp_path / "caused")
    check_pairs(caused, squashfs_pair(folders, tmp_path / "clean", "-no-fragments"), "squashfs-fragments")


@pytest.mark.build
@pytest.mark.tool("mksquashfs")
def test_another_order_of_files_in_squashfs(
    folders: tuple[Path, Path], trees: tuple[Tree, Tree], tmp_path: Path
) -> None:
    base, clean = squashfs_pair(folders, tmp_path)
    names = random.Random(1).sample(sorted(trees[1]), len(trees[1]))
    (tmp_path / "order").write_text("".join(f"{name} {at}\n" for at, name in enumerate(names)))
    caused = rootfs.squashfs(folders[1], tmp_path / "caused.squashfs", "-sort", str(tmp_path / "order"))
    check_cost(caused, clean, base, "squashfs-file-order")


@pytest.mark.tool("mkfs.erofs")
@pytest.mark.parametrize("options", [(), pytest.param(("-zlz4hc,9", "-C65536"), marks=pytest.mark.build)])
def test_another_uuid_of_erofs(folders: tuple[Path, Path], tmp_path: Path, options: Options) -> None:
    base, clean = (rootfs.erofs(folder, tmp_path / f"{folder.name}.erofs", *options) for folder in folders)
    caused = rootfs.erofs(folders[1], tmp_path / "caused.erofs", *options, uuid=OTHER)
    check_cost(caused, clean, base, "erofs-uuid")


@pytest.mark.build
@pytest.mark.tool("mkfs.erofs")
def test_other_times_of_erofs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, clean = (rootfs.erofs(folder, tmp_path / f"{folder.name}.erofs") for folder in folders)
    caused = rootfs.erofs(folders[1], tmp_path / "caused.erofs", f"-T{LATER}")
    check_cost(caused, clean, base, "erofs-times")


def test_a_base_of_another_kind(ext4: Mapping[str, Path], folders: tuple[Path, Path], tmp_path: Path) -> None:
    image = rootfs.squashfs(folders[1], tmp_path / "new.squashfs")
    assert only(lint(image, ext4["old"]).findings, "filesystem-kind").cost_bytes is None


def test_the_command_prints_findings_for_people_and_programs(
    ext4: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = rootfs.ext4(ext4["new.tar"], tmp_path / "caused.ext4", uuid=OTHER)
    command = ["lint", str(image), "--against", str(ext4["old"])]
    assert cli.main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["image"], answer["against"], answer["filesystem"]) == ("caused.ext4", "old.ext4", "ext4")
    (finding,) = answer["findings"]
    assert list(finding) == ["code", "what", "cost_bytes", "paths", "mend"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert f"ext4-uuid [{finding['cost_bytes']:,} bytes]" in printed and finding["mend"] in printed


@pytest.mark.parametrize(
    ("content", "code"),
    [(bytes(100_000), "filesystem-unknown"), (None, "file-missing")],
)
def test_what_cannot_be_looked_into_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, code: str
) -> None:
    if content is not None:
        (tmp_path / "image").write_bytes(content)
    assert cli.main(["lint", str(tmp_path / "image"), "--json"]) == 6
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_damaged_image_is_said(ext4: Mapping[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ext4"
    damaged.write_bytes(ext4["new"].read_bytes()[: 1 << 20])
    for images in ((damaged,), (damaged, ext4["old"]), (ext4["new"], damaged)):
        with pytest.raises(ConfigError) as refused:
            lint(*images)
        assert refused.value.code == "image-unreadable"


def test_an_image_is_never_written(ext4: Mapping[str, Path], tmp_path: Path) -> None:
    image = rootfs.ext4(ext4["new.tar"], tmp_path / "caused.ext4", uuid=OTHER, seed=OTHER, epoch=LATER)
    before = image.read_bytes()
    image.chmod(0o444)
    answer = lint(image, ext4["old"])
    assert {finding.code for finding in answer.findings} == {"ext4-uuid", "ext4-hash-seed", "ext4-times"}
    assert bool(image.read_bytes() == before)


def test_each_cost_is_what_its_cause_adds_where_all_others_are_mended(
    ext4: Mapping[str, Path], tmp_path: Path
) -> None:
    both = rootfs.ext4(ext4["new.tar"], tmp_path / "both.ext4", uuid=OTHER, seed=OTHER)
    one = rootfs.ext4(ext4["new.tar"], tmp_path / "one.ext4", seed=OTHER)
    costs = {finding.code: finding.cost_bytes for finding in lint(both, ext4["old"]).findings}
    assert costs["ext4-hash-seed"] == only(lint(one, ext4["old"]).findings, "ext4-hash-seed").cost_bytes
