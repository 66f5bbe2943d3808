"""What a build tells of the packages in its images: in the package, beside it, and on the page."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ota.formats import cpio
from packager import check, packages, sbom
from packager.tests.conftest import Project

pytestmark = pytest.mark.tool("mke2fs")

DELTA = 'type = "delta"\nurl = "https://updates.example.com/gateway/"\n'


def image(project: Project, name: str, **installed: str) -> Path:
    """A small file system with these packages."""
    root = project.folder / f"{name}-root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(
        "".join(
            f"Package: {package}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n\n"
            for package, version in installed.items()
        )
    )
    path = project.folder / name
    command = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal"]
    subprocess.run([*command, "-d", root, path, "2M"], check=True)
    return path


def members(package: Path) -> dict[str, bytes]:
    found = {}
    with package.open("rb") as archive:
        for member, reader in cpio.members(archive):
            found[member.name] = b"".join(iter(lambda reader=reader: reader.read(1 << 16), b""))  # type: ignore[misc]
    return found


@pytest.fixture
def built(project: Project) -> Any:
    """The report of a release whose base is an image."""
    image(project, "v1.ext4", bash="5.1", gone="1")
    image(project, "v2.ext4", bash="5.2", new="1")
    answer = project.build_release(
        f'[[image]]\nname = "rootfs"\nfile = "v2.ext4"\n{DELTA}'
        '[[base]]\nversion = "1.0.0"\nimages = { rootfs = "v1.ext4" }\n'
    )
    assert answer.status == 0, answer.log
    return json.loads((project.out / "report.json").read_text())


def test_the_document_lies_in_the_package_and_its_digest_is_signed(project: Project, built: Any) -> None:
    document = (project.out / packages.DOCUMENT).read_bytes()
    held = members(project.out / "gateway-2.0.0.swu")
    assert bool(zstandard.decompress(held[packages.MEMBER]) == document)
    assert hashlib.sha256(held[packages.MEMBER]).hexdigest() in held[check.DESCRIPTION].decode()
    assert [package.name for package in sbom.read(project.out / packages.DOCUMENT).packages] == [
        "bash",
        "new",
    ]
    assert b"upgraded since 1.0.0: from 5.1" in document


def test_report_and_page_tell_the_difference_and_its_causes(project: Project, built: Any) -> None:
    since = built["sbom"]["rootfs"]["since"]["1.0.0"]
    assert since["upgraded"] == [{"name": "bash", "architecture": "all", "old": "5.1", "new": "5.2"}]
    assert [[package["name"] for package in since[word]] for word in ("added", "removed")] == [
        ["new"],
        ["gone"],
    ]
    assert (built["diff"]["rootfs"]["old"], built["diff"]["rootfs"]["new"]) == ("1.0.0", "2.0.0")
    assert any(owner["path"] == "/var/lib/dpkg/status" for owner in built["diff"]["rootfs"]["owners"])
    (row,) = (
        row for row in built["estimate"]["rows"] if row["base"] == "1.0.0" and row["method"] == "zchunk"
    )
    assert built["diff"]["rootfs"]["missing_bytes"] == row["fetched_bytes"] > 0
    assert built["lint"]["rootfs"]["against"] == "1.0.0"
    assert built["earlier"]["rootfs"][0]["version"] == "1.0.0"
    page = (project.out / "report.html").read_text()
    for words in ("from 1.0.0", "1 upgraded", "/var/lib/dpkg/status", packages.MEMBER):
        assert words in page


@pytest.mark.parametrize("other", [b"{}", None], ids=["another", "none"])
def test_a_package_with_another_document_than_the_signed_one_is_refused(
    project: Project, built: Any, other: bytes | None
) -> None:
    held = members(project.out / "gateway-2.0.0.swu")
    forged = {**held, packages.MEMBER: other} if other else {
        name: data for name, data in held.items() if name != packages.MEMBER
    }  # fmt: skip
    package = project.folder / "forged.swu"
    with package.open("wb") as archive:
        cpio.write(archive, list(forged.items()))
    assert (
        project.otapack("verify", package, "--certificate", project.signer.certificate).code
        == "digest-mismatch"
    )


def test_the_next_release_compares_with_the_document_of_a_folder(project: Project, built: Any) -> None:
    image(project, "v3.ext4", bash="5.2", new="2")
    release = project.write_release(
        f'[[image]]\nname = "rootfs"\nfile = "v3.ext4"\n{DELTA}'
        f'[[base]]\nversion = "2.0.0"\nfolder = "{project.out}"\n'
    )
    answer = project.otapack("build", release, "-o", project.folder / "out-3", "--set", "version=3.0.0")
    assert answer.status == 0, answer.log
    assert answer.json["sbom"]["rootfs"]["since"]["2.0.0"]["upgraded"] == [
        {"name": "new", "architecture": "all", "old": "1", "new": "2"}
    ]


def test_an_image_of_which_nothing_is_known_has_no_document(project: Project) -> None:
    project.build("delta")
    assert not (project.out / packages.DOCUMENT).exists()
    report = json.loads((project.out / "report.json").read_text())
    assert "file system" in report["sbom"]["rootfs"]["unread"][0]
    assert report["lint"]["rootfs"]["filesystem"] is None


def test_packages_of_an_encrypted_image_stay_out_of_the_package(project: Project) -> None:
    image(project, "v2.ext4", bash="5.2")
    key = project.folder / "aes.key"
    key.write_text(f"{'1' * 64} {'2' * 32}\n")
    answer = project.build_release(
        '[encrypt]\nkey = "aes.key"\n'
        '[[image]]\nname = "rootfs"\nfile = "v2.ext4"\ntype = "raw"\nlevel = 1\nencrypted = true\n'
    )
    assert answer.status == 0, answer.log
    assert packages.MEMBER not in members(project.out / "gateway-2.0.0.swu")
    assert (project.out / packages.DOCUMENT).exists()
