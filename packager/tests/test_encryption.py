"""Encrypted artifacts: what `openssl enc` decrypts, each with an IV of its own."""

from __future__ import annotations

import hashlib
import subprocess
import zlib
from pathlib import Path

import pytest

from ota.formats import cpio, description
from ota.formats.selection import Entry, Selection, select
from ota.io.readers import blocks
from packager.tests.conftest import FindTool, Project
from packager.tests.examples import KEY

IMAGE = '[[image]]\nname = "rootfs"\ntype = "raw"\ncompressed = "zlib"\nlevel = 1\nencrypted = true\n'
TWO = (
    IMAGE + 'file = "v2.img"\n'
    '[[file]]\nname = "again"\ntype = "rawfile"\npath = "/x"\nencrypted = true\nfile = "run.sh"\n'
    '[[file]]\nname = "same"\ntype = "rawfile"\npath = "/y"\nencrypted = true\nfile = "run.sh"\n'
)
ENCRYPT = '[encrypt]\nkey = "aes.key"\n'


def read(package: Path) -> tuple[dict[str, Entry], dict[str, bytes]]:
    """The entries of one mode, by name, and all members."""
    with package.open("rb") as file:
        members = {member.name: b"".join(blocks(reader)) for member, reader in cpio.members(file)}
    tree = description.parse(members["sw-description"])
    chosen = select(tree, "demo", Selection("stable", "copy-a"), required=True)
    return {str(entry.name): entry for entry in chosen.entries}, members


@pytest.mark.tool("openssl")
@pytest.mark.parametrize("bits", [128, 192, 256])
def test_openssl_decrypts_to_what_was_compressed(project: Project, bits: int, tool: FindTool) -> None:
    key = KEY[: bits // 4]
    (project.folder / "aes.key").write_text(f"{key}  {'ab' * 16}\n")
    answer = project.build_release(IMAGE + 'file = "v2.img"\n' + ENCRYPT)
    assert answer.status == 0, answer.log
    entries, members = read(project.package)
    entry = entries["rootfs"]
    stored = members[str(entry.filename)]
    assert entry.filename == "rootfs.img.gz.enc"
    assert entry.encrypted and entry.ivt
    assert entry.sha256 == hashlib.sha256(stored).hexdigest()
    command: list[str | Path] = [
        tool("openssl"),
        "enc",
        "-d",
        f"-aes-{bits}-cbc",
        "-K",
        key,
        "-iv",
        entry.ivt,
    ]
    plain = subprocess.run(command, input=stored, capture_output=True, check=True).stdout
    assert zlib.decompress(plain, 31) == project.v2
    assert b"encrypted = True;" in members["sw-description"]  # 2024.12 knows no other word


def test_every_content_has_an_iv_of_its_own_and_keeps_it(project: Project) -> None:
    assert project.build_release(TWO + ENCRYPT).status == 0
    entries, first = read(project.package)
    ivs = {name: str(entry.ivt) for name, entry in entries.items()}
    assert len({ivs["rootfs"], ivs["again"], KEY.split()[1]}) == 3
    assert ivs["again"] == ivs["same"]  # the same content under the same IV says no more than that
    assert project.build_release(TWO + ENCRYPT).status == 0
    assert {name: entry.ivt for name, entry in read(project.package)[0].items()} == ivs
    (project.folder / "aes.key").write_text("00" * 32 + f" {KEY.split()[1]}")
    assert project.build_release(TWO + ENCRYPT).status == 0
    entries, second = read(project.package)
    assert not set(ivs.values()) & {entry.ivt for entry in entries.values()}
    assert first["again.sh.enc"] != second["again.sh.enc"]


def test_nothing_of_the_plain_artifacts_is_in_the_package(project: Project) -> None:
    assert project.build_release(TWO.replace("zlib", "none").replace("level = 1\n", "") + ENCRYPT).status == 0
    package = project.package.read_bytes()
    assert project.v2[:64] not in package
    assert b"#!/bin/sh" not in package


def test_without_the_key_it_is_said_that_nobody_looked_inside(project: Project) -> None:
    assert project.build_release(TWO + ENCRYPT).status == 0
    verbs: list[list[str | Path]] = [["inspect"], ["verify", "--certificate", project.signer.certificate]]
    for verb in verbs:
        answer = project.otapack(*verb, project.package)
        assert answer.status == 0, answer.log
        assert [artifact["opened"] for artifact in answer.json["artifacts"]] == [False] * 3
        assert "image_sha256" not in answer.json["artifacts"][0]
        answer = project.otapack(*verb, project.package, "--decrypt-key", project.folder / "aes.key")
        assert [artifact["opened"] for artifact in answer.json["artifacts"]] == [True] * 3
        found = answer.json["artifacts"][0]["image_sha256"]
        assert found == hashlib.sha256(project.v2).hexdigest()


def test_a_wrong_key_is_refused(project: Project) -> None:
    assert project.build_release(TWO + ENCRYPT).status == 0
    (project.folder / "other.key").write_text("11" * 32 + " " + "22" * 16)
    answer = project.otapack("inspect", project.package, "--decrypt-key", project.folder / "other.key")
    assert (answer.status, answer.code) == (3, "payload-format")
    answer = project.otapack("inspect", project.package, "--decrypt-key", project.folder / "run.sh")
    assert (answer.status, answer.code) == (6, "config-value")
    assert "#!" not in answer.log


def test_a_delta_and_an_rdiff_delta_may_be_encrypted(project: Project) -> None:
    lines = (
        '[[image]]\nname = "d"\ntype = "delta"\nfile = "v2.img"\nencrypted = true\nurl = "https://x.example/"\n'
        '[[file]]\nname = "f"\ntype = "rdiff_file"\nfile = "v2.img"\nbase = "v1.img"\nlevel = 3\n'
        'encrypted = true\npath = "/f"\n'
    )
    answer = project.build_release(lines + ENCRYPT)
    assert answer.status == 0, answer.log
    for artifact in answer.json["artifacts"]:
        assert artifact["image_sha256"] == hashlib.sha256(project.v2).hexdigest()
