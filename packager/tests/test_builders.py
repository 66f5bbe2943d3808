"""Every builder's artifact against the real tools, and what the sw-description says of it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from ota.errors import UpdateError
from ota.formats import cpio, description
from ota.formats.selection import Compression, Entry, Selection, select
from ota.io.readers import Decompress, blocks
from ota.native import zck
from packager import builders, types
from packager.tests.conftest import TYPES, FindTool, Project


def members(package: Path) -> dict[str, bytes]:
    with package.open("rb") as file:
        return {member.name: b"".join(blocks(reader)) for member, reader in cpio.members(file)}


def entry(project: Project, mode: str) -> Entry:
    tree = description.parse(members(project.package)["sw-description"])
    (found,) = select(tree, "demo", Selection("stable", mode), required=True).entries
    return found


def artifact(project: Project) -> bytes:
    """The plain artifact of what was built."""
    found = entry(project, "copy-a")
    stored = project.folder / "stored"
    stored.write_bytes(members(project.package)[found.filename or ""])
    if found.compressed is None:
        return stored.read_bytes()
    with stored.open("rb") as file:
        return b"".join(blocks(Decompress(file, found.compressed, 16 << 20, "artifact")))


@pytest.mark.parametrize("kind", TYPES)
def test_a_package_is_small_whole_and_in_order(project: Project, kind: str) -> None:
    answer = project.build(kind, 'description = "With \\"quotes\\", a \\\\ and ü"')
    assert answer.status == 0, answer.log
    assert list(members(project.package))[:2] == ["sw-description", "sw-description.sig"]
    assert len(members(project.package)) == 3  # both modes share the artifact
    assert answer.json["description"] == 'With "quotes", a \\ and ü'
    assert answer.json["sha256"] == hashlib.sha256(project.package.read_bytes()).hexdigest()
    assert json.loads((project.out / "report.json").read_text()) == answer.json
    assert project.verify().status == 0
    assert project.package.stat().st_size < len(project.v2)


@pytest.mark.parametrize("kind", TYPES)
def test_each_mode_writes_its_slot_and_reads_the_other(project: Project, kind: str) -> None:
    assert project.build(kind).status == 0
    slots = {"copy-a": ("/dev/mmcblk0p2", "/dev/mmcblk0p3"), "copy-b": ("/dev/mmcblk0p3", "/dev/mmcblk0p2")}
    for mode, (target, other) in slots.items():
        found = entry(project, mode)
        assert found.device == target
        assert not found.installed_directly
        reads = {name: found.property(name) for name in ("source", "rdiffbase") if found.property(name)}
        assert reads == {"delta": {"source": other}, "rdiff_image": {"rdiffbase": other}, "raw": {}}[kind]
        assert found.property("image-sha256") == hashlib.sha256(project.v2).hexdigest()
        assert found.property("image-size") == str(len(project.v2))
        data = members(project.package)[found.filename or ""]
        assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_the_bootenv_of_each_mode_is_its_slots(project: Project) -> None:
    answer = project.build("raw")
    assert {choice["selection"]: choice["bootenv"] for choice in answer.json["choices"]} == {
        "stable,copy-a": {"boot_slot": "a"},
        "stable,copy-b": {"boot_slot": "b"},
    }


def test_a_package_is_for_its_board_though_others_have_the_same_revisions(project: Project) -> None:
    assert project.build("raw").status == 0
    tree = description.parse(members(project.package)["sw-description"])
    with pytest.raises(UpdateError, match=r"hardware-mismatch: .*expected demo, found other"):
        select(tree, "other", Selection("stable", "copy-a"))


def test_a_delta_says_where_its_zck_will_be(project: Project) -> None:
    for url in ("https://updates.example.com/gateway/", "https://updates.example.com/gateway"):
        assert project.build(f'type = "delta"\nurl = "{url}"').status == 0
        found = entry(project, "copy-a")
        assert found.property("url") == f"https://updates.example.com/gateway/{project.published.name}"
        assert found.property("chain") == "raw"
        assert found.filename == "rootfs.zck-header"


def test_unzck_restores_the_image_of_a_delta(project: Project, tool: FindTool) -> None:
    answer = project.build("delta")
    subprocess.run([tool("unzck"), project.published], cwd=project.folder, check=True, capture_output=True)
    assert (project.folder / "rootfs-2.0.0").read_bytes() == project.v2
    told = subprocess.run(
        [tool("zck_read_header"), "-v", project.published], check=True, capture_output=True, text=True
    ).stdout
    figures = answer.json["artifacts"][0]
    assert int(re.findall(r"Header size: *(\d+)", told)[0]) == figures["header_size"]
    assert int(re.findall(r"Chunk count: *(\d+)", told)[0]) == figures["chunks"] + 1  # the dictionary
    assert figures["zck_size"] == project.published.stat().st_size
    assert 0 < figures["unique_chunks"] < figures["chunks"]
    assert project.published.read_bytes().startswith(artifact(project))


def test_a_delta_has_the_chunks_that_the_zck_program_makes(project: Project, tool: FindTool) -> None:
    project.build("delta")
    other = project.folder / "other.zck"
    subprocess.run(
        [tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", other, project.folder / "v2.img"],
        check=True,
        capture_output=True,
    )
    ours, theirs = (
        [(row.uncompressed_digest, row.length) for row in zck.chunks(file.read_bytes())]
        for file in (project.published, other)
    )
    assert ours == theirs


def test_a_delta_is_compressed_as_hard_as_its_level_says(project: Project) -> None:
    sizes = []
    for level in (1, 19):
        answer = project.build(f'type = "delta"\nurl = "https://updates.example.com/"\nlevel = {level}')
        assert answer.status == 0, answer.log
        sizes.append(project.published.stat().st_size)
    assert sizes[0] > sizes[1]
    for level in (0, 23):
        answer = project.build(f'type = "delta"\nurl = "https://updates.example.com/"\nlevel = {level}')
        assert (answer.code, answer.json["error"]["found"]) == ("config-value", str(level))


@pytest.mark.parametrize("compressed", ["zstd", "xz", "zlib", "none"])
def test_rdiff_patches_the_base_to_the_image(project: Project, tool: FindTool, compressed: str) -> None:
    level = "" if compressed == "none" else "level = 1"
    answer = project.build(f'type = "rdiff_image"\nbase = "v1.img"\ncompressed = "{compressed}"\n{level}')
    assert answer.status == 0, answer.log
    delta, patched = project.folder / "delta", project.folder / "patched"
    delta.write_bytes(artifact(project))
    subprocess.run([tool("rdiff"), "patch", project.folder / "v1.img", delta, patched], check=True)
    assert patched.read_bytes() == project.v2
    found = entry(project, "copy-b")
    v1 = (project.folder / "v1.img").read_bytes()
    assert found.property("base-sha256") == hashlib.sha256(v1).hexdigest()
    assert found.property("base-size") == str(len(v1))
    assert answer.json["artifacts"][0]["delta_size"] == delta.stat().st_size


def test_a_delta_without_a_common_block_is_complete(project: Project) -> None:
    (project.folder / "other.img").write_bytes(b"nothing in common")
    assert project.build('type = "rdiff_image"\nbase = "other.img"\nblock = 512\nlevel = 3').status == 0


@pytest.mark.parametrize(
    ("compressed", "filename"),
    [
        ("zstd", "rootfs.img.zst"),
        ("xz", "rootfs.img.xz"),
        ("zlib", "rootfs.img.gz"),
        ("lz4", "rootfs.img.lz4"),
        ("none", "rootfs.img"),
    ],
)
def test_a_raw_image_is_in_the_package(project: Project, compressed: str, filename: str) -> None:
    level = "" if compressed == "none" else "level = 1"
    answer = project.build(f'type = "raw"\ncompressed = "{compressed}"\n{level}')
    assert answer.status == 0, answer.log
    found = entry(project, "copy-a")
    assert found.filename == filename
    assert found.compressed == (None if compressed == "none" else Compression(compressed))
    assert artifact(project) == project.v2
    assert not (project.out / "publish").exists()


def test_a_real_file_system_is_built_as_every_type(project: Project, tmp_path: Path, tool: FindTool) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"file{number}").write_bytes(project.v2[number * 50_000 : number * 50_000 + 40_000])
    for name in ("v1.img", "v2.img"):
        (project.folder / name).unlink()
        subprocess.run(
            [tool("mke2fs"), "-q", "-t", "ext4", "-d", tree, project.folder / name, "8M"], check=True
        )
        (tree / "file7").write_bytes(b"changed")
    for kind in TYPES:
        assert project.build(kind).status == 0
        assert project.verify().status == 0


def test_the_readme_tells_how_to_add_a_builder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(builders.__file__).parent.parent / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    module = type(builders)("counted")
    exec(snippet, module.__dict__)
    monkeypatch.setattr(builders, "counted", module, raising=False)
    (row,) = re.findall(r"^    (\"counted\": .*),$", readme, re.MULTILINE)
    monkeypatch.setitem(
        types.TYPES, "counted", eval(f"{{{row}}}", {**vars(types), "counted": module})["counted"]
    )
    answer = project.build('type = "counted"\ndevice = "/dev/x"', "switch = true")
    assert answer.status == 0, answer.log
    assert answer.json["artifacts"][0]["image_sha256"] == hashlib.sha256(project.v2).hexdigest()


def test_the_readmes_release_file_is_complete(project: Project) -> None:
    readme = (Path(builders.__file__).parent.parent / "README.md").read_text()
    release, *_ = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    path = project.folder / "release.toml"
    path.write_text(release)
    for name, source in (("signer.pem", project.signer.certificate), ("signer.key", project.signer.key)):
        (project.folder / name).symlink_to(source)
    assert project.otapack("build", path, "-o", project.out).status == 0
