"""Which packages are in an image, and what changed: real databases, and versions as dpkg compares them."""

from __future__ import annotations

import json
import lzma
import sqlite3
import struct
import subprocess
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from ota.errors import ConfigError
from packager import sbom
from packager.sbom import Package, rpm, versions

DATA = Path(__file__).parent / "data"

STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Source: bash (5.2.15-2)
Description: GNU Bourne Again SHell
 Version: 0 is what this line does not say.

Package: old-tool
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: half
Status: install ok half-configured
Architecture: all
Version: 2:0.1
"""
OPKG = """\
Package: busybox
Version: 1.36.1-r0
Architecture: cortexa53
Status: install user installed

Package: gone
Version: 1
Architecture: all
Status: deinstall ok not-installed
"""
APK = """\
C:Q1hdUpqRv5mYgJEqW52UmVsvmeysQ=
P:musl
V:1.2.4-r2
A:x86_64
o:musl
F:lib
R:libc.musl-x86_64.so.1

P:libcrypto3
V:3.1.4-r5
A:x86_64
o:openssl
"""
DEBIAN = 'PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n'


def files(**contents: str | bytes) -> dict[str, Callable[[], bytes]]:
    return {
        path: lambda content=content: content.encode() if isinstance(content, str) else content  # type: ignore[misc] # a lambda's default
        for path, content in contents.items()
    }


def installed(path: str, content: str | bytes, release: str = DEBIAN) -> tuple[Package, ...]:
    inventory = sbom.installed(files(**{path: content, "/etc/os-release": release}))
    assert inventory.lists == (path,)
    return inventory.packages


def test_dpkg_knows_what_is_installed_and_from_which_source() -> None:
    assert installed("/var/lib/dpkg/status", STATUS) == (
        Package("bash", "5.2.15-2+b7", "amd64", "bash 5.2.15-2",
                "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64&distro=debian-12&upstream=bash%405.2.15-2"),
        Package("half", "2:0.1", "all", "", "pkg:deb/debian/half@2:0.1?arch=all&distro=debian-12"),
    )  # fmt: skip


def test_an_image_without_a_package_manager_has_a_file_for_each_package() -> None:
    stanza = "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n"
    inventory = sbom.installed(
        files(**{"/var/lib/dpkg/status.d/tzdata": stanza, "/var/lib/dpkg/status.d/tzdata.md5sums": "0  /x\n"})
    )
    assert [package.name for package in inventory.packages] == ["tzdata"]


def test_opkg_and_apk_are_read() -> None:
    assert installed("/usr/lib/opkg/status", OPKG, "ID=poky\n") == (
        Package("busybox", "1.36.1-r0", "cortexa53", "",
                "pkg:opkg/poky/busybox@1.36.1-r0?arch=cortexa53&distro=poky"),
    )  # fmt: skip
    assert [(p.name, p.version, p.source) for p in installed("/lib/apk/db/installed", APK)] == [
        ("libcrypto3", "3.1.4-r5", "openssl"),
        ("musl", "1.2.4-r2", ""),
    ]


def test_a_database_that_rpm_wrote_is_read() -> None:
    database = lzma.decompress((DATA / "rpmdb.sqlite.xz").read_bytes())
    hello, zlib = installed("/var/lib/rpm/rpmdb.sqlite", database, "ID=poky\n")
    assert hello == Package(
        "hello",
        "2.10-3.oe1",
        "x86_64",
        "hello-2.10-3.oe1.src.rpm",
        "pkg:rpm/poky/hello@2.10-3.oe1?arch=x86_64&distro=poky&upstream=hello-2.10-3.oe1.src.rpm",
    )
    assert (zlib.name, zlib.version) == ("zlib", "1:1.3.1-3.oe1")
    assert "@1.3.1-3.oe1?arch=x86_64&distro=poky&epoch=1" in zlib.purl


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("/var/lib/dpkg/status", "Package: a\nStatus: install ok installed\n", "Version"),
        ("/var/lib/dpkg/status", b"\xff\xfe", "list of packages"),
        ("/var/lib/rpm/rpmdb.sqlite", b"no database" * 100, "rpmdb.sqlite"),
        ("/var/lib/rpm/rpmdb.sqlite", b"", "rpmdb.sqlite"),
    ],
)
def test_a_damaged_list_is_refused(path: str, content: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        installed(path, content)
    assert refused.value.code == "sbom-format"


def test_every_cut_through_a_header_of_rpm_is_refused_or_read_and_never_a_crash() -> None:
    database = lzma.decompress((DATA / "rpmdb.sqlite.xz").read_bytes())
    connection = sqlite3.connect(":memory:")
    connection.deserialize(bytes(database[:18]) + b"\1\1" + bytes(database[20:]))  # not in WAL mode
    (blob,) = connection.execute("SELECT blob FROM Packages WHERE hnum = 2").fetchone()
    refused = 0
    for stop in range(0, len(blob), 7):
        try:
            rpm.header(blob[:stop])
        except (ValueError, struct.error):
            refused += 1
    assert refused == len(range(0, len(blob), 7))
    assert rpm.header(blob)["name"] == "hello"


def test_what_is_not_known_is_said_and_not_guessed() -> None:
    inventory = sbom.installed(files(**{"/var/lib/rpm/Packages": b"", "/bin/sh": b""}))
    assert (inventory.packages, inventory.lists) == ((), ())
    assert inventory.unread == ("/var/lib/rpm/Packages: a Berkeley DB of rpm is not known here",)


@pytest.mark.tool("mke2fs")
def test_an_image_is_read_without_being_mounted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for path, content in {"var/lib/dpkg/status": STATUS, "usr/lib/os-release": DEBIAN}.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(content)
    (root / "etc").mkdir()
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    image = tmp_path / "rootfs.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, image, "4M"], check=True)
    found = sbom.of(image)
    assert found.packages == installed("/var/lib/dpkg/status", STATUS)
    assert sbom.to_json(found, {})["lists"] == ["/var/lib/dpkg/status"]


def test_a_document_beside_an_image_is_believed_before_the_image(tmp_path: Path) -> None:
    image, document = tmp_path / "image", tmp_path / "sbom.json"
    image.write_bytes(bytes(5000))
    document.write_text(json.dumps(CYCLONEDX))
    assert [package.name for package in sbom.of(image, document).packages] == ["debian", "zlib"]
    nothing = sbom.of(image)
    assert (nothing.packages, nothing.lists) == ((), ())
    assert nothing.unread and "file system" in nothing.unread[0]


# Ascending; = is as late as the one before.
VERSIONS = """
0 1.0~~ 1.0~rc1 1.0~rc1-1 1.0 =1.00 1.0-1~bpo12+1 1.0-1 1.0-1+deb12u1 1.0-1+deb12u9 1.0-1+deb12u10 1.0a 1.0+b1
1.0.1-2 1.0.1-2-3 1.+ 1:0.5
"""


def test_versions_of_debian_compare_as_dpkg_says() -> None:
    ranks: dict[str, int] = {}
    for word in VERSIONS.split():
        version, equal = word.removeprefix("="), word.startswith("=")
        if ranks:
            relation = "eq" if equal else "lt"
            subprocess.run(["dpkg", "--compare-versions", list(ranks)[-1], relation, version], check=True)
        ranks[version] = len(ranks) - sum(1 for seen in VERSIONS.split()[: len(ranks) + 1] if seen[0] == "=")
    for one, other in combinations(ranks, 2):
        expected = (ranks[one] > ranks[other]) - (ranks[one] < ranks[other])
        assert versions.compare("deb", one, other) == expected, (one, other)
        assert versions.compare("deb", other, one) == -expected, (other, one)


# From rpm's tests/rpmvercmp.at.
@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        ("1.0", "1.0", 0), ("1.0", "2.0", -1), ("2.0.1", "2.0", 1), ("2.0.1a", "2.0.1", 1),
        ("5.5p1", "5.5p2", -1), ("5.5p10", "5.5p1", 1), ("10xyz", "10.1xyz", -1), ("xyz10", "xyz10.1", -1),
        ("xyz.4", "8", -1), ("5.5p2", "5.6p1", -1), ("6.0.rc1", "6.0", 1), ("10b2", "10a1", 1),
        ("1.0010", "1.9", 1), ("1.05", "1.5", 0), ("2.0", "2_0", 0), ("1.0~rc1", "1.0", -1),
        ("1.0~rc1~git123", "1.0~rc1", -1), ("1.0^", "1.0", 1), ("1.0^git1", "1.0^git2", -1),
        ("1.0^git1", "1.01", -1), ("1.0^20160101", "1.0.1", -1), ("1.0~rc1^git1", "1.0~rc1", 1),
        ("1.0^git1~pre", "1.0^git1", -1), ("1:1.0", "2.0", 1),
    ],
)  # fmt: skip
def test_versions_of_rpm_compare_as_rpm_says(one: str, other: str, order: int) -> None:
    assert versions.compare("rpm", one, other) == order
    assert versions.compare("rpm", other, one) == -order


def deb(name: str, version: str, architecture: str = "amd64") -> Package:
    return Package(name, version, architecture, "", f"pkg:deb/debian/{name}@{version}")


def test_the_difference_tells_what_became_of_each_package() -> None:
    old = [deb("same", "1"), deb("gone", "1"), deb("up", "1.9"), deb("down", "2"), deb("up", "1.9", "i386"),
           deb("linux", "6.1"), deb("linux", "6.2")]  # fmt: skip
    new = [deb("same", "1"), deb("new", "1"), deb("up", "1.10"), deb("down", "2~rc1"),
           deb("up", "1.10", "i386"), deb("linux", "6.2"), deb("linux", "6.3")]  # fmt: skip
    found = sbom.difference(old, new).to_json()
    assert found == {
        "added": [{"name": "new", "architecture": "amd64", "version": "1"}],
        "removed": [{"name": "gone", "architecture": "amd64", "version": "1"}],
        "upgraded": [
            {"name": "linux", "architecture": "amd64", "old": "6.1", "new": "6.3"},
            {"name": "up", "architecture": "amd64", "old": "1.9", "new": "1.10"},
            {"name": "up", "architecture": "i386", "old": "1.9", "new": "1.10"},
        ],
        "downgraded": [{"name": "down", "architecture": "amd64", "old": "2", "new": "2~rc1"}],
    }


def test_a_package_built_for_another_architecture_is_removed_and_added() -> None:
    found = sbom.difference([deb("a", "1", "all")], [deb("a", "1", "amd64")])
    assert (found.removed, found.added) == ((deb("a", "1", "all"),), (deb("a", "1", "amd64"),))


@pytest.fixture
def document() -> bytes:
    new = installed("/var/lib/dpkg/status", STATUS)
    old = [deb("gone", "1"), Package("bash", "5.1-1", "amd64")]
    image = sbom.Image("root fs/ü", "a" * 64, new, {"1.0.0": sbom.difference(old, new)})
    return sbom.render("gate way", "2.0.0", [image, sbom.Image("data", "b" * 64, ())], time=1_700_000_000)


def test_the_document_is_valid_spdx_and_says_what_changed(document: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.spdx.json"
    path.write_bytes(document)
    read = parse_file(str(path))
    assert validate_full_spdx_document(read) == []
    assert [package.name for package in read.packages] == ["root fs/ü", "bash", "half", "data"]
    assert str(read.creation_info.created) == "2023-11-14 22:13:20"
    comments = sorted(note.annotation_comment for note in read.annotations)
    assert comments == [
        "added since 1.0.0", "removed since 1.0.0: gone 1 amd64", "upgraded since 1.0.0: from 5.1-1",
    ]  # fmt: skip


def test_our_document_read_back_lists_the_same_packages(document: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.spdx.json"
    path.write_bytes(document)
    listed = {package.name: package for package in sbom.read(path).packages}
    for package in installed("/var/lib/dpkg/status", STATUS):
        assert listed[package.name] == package


def test_another_content_has_another_namespace_and_the_same_content_the_same_bytes(document: bytes) -> None:
    def made(sha256: str) -> bytes:
        return sbom.render("p", "1", [sbom.Image("i", sha256, ())], time=0)

    assert made("a" * 64) == made("a" * 64)
    assert json.loads(made("a" * 64))["documentNamespace"] != json.loads(made("b" * 64))["documentNamespace"]


SPDX2 = {
    "spdxVersion": "SPDX-2.2",
    "documentDescribes": ["SPDXRef-image"],
    "packages": [
        {"SPDXID": "SPDXRef-image", "name": "core-image"},
        {
            "SPDXID": "SPDXRef-1",
            "name": "zlib",
            "versionInfo": "1.3.1",
            "externalRefs": [
                {"referenceType": "purl", "referenceLocator": "pkg:deb/debian/zlib@1.3.1?arch=arm64"}
            ],
        },
        {"SPDXID": "SPDXRef-2", "name": "zlib-src", "primaryPackagePurpose": "SOURCE"},
    ],
    "relationships": [
        {
            "spdxElementId": "SPDXRef-image",
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": "SPDXRef-1",
        }
    ],
}
SPDX3 = {
    "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
    "@graph": [
        {
            "type": "software_Package",
            "name": "zlib",
            "software_packageVersion": "1.3.1",
            "software_primaryPurpose": "install",
            "software_packageUrl": "pkg:deb/debian/zlib@1.3.1?arch=arm64",
        },
        {"type": "software_Package", "name": "gcc", "software_primaryPurpose": "source"},
        {"type": "software_Package", "name": "cmake-native"},
        {"type": "Person", "name": "zoe"},
    ],
}
CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "components": [
        {"type": "file", "name": "/etc/hosts"},
        {
            "type": "operating-system",
            "name": "debian",
            "version": "12",
            "components": [
                {
                    "type": "library",
                    "name": "zlib",
                    "version": "1.3.1",
                    "purl": "pkg:deb/debian/zlib@1.3.1?arch=arm64",
                }
            ],
        },
    ],
}


@pytest.mark.parametrize("made", [SPDX2, SPDX3, CYCLONEDX], ids=["SPDX 2", "SPDX 3", "CycloneDX"])
def test_documents_of_others_are_read(made: object, tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    path.write_text(json.dumps(made))
    packages = [package for package in sbom.read(path).packages if package.name != "debian"]
    assert packages == [Package("zlib", "1.3.1", "arm64", "", "pkg:deb/debian/zlib@1.3.1?arch=arm64")]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"spdxVersion": 2}', "[" * 100_000])
def test_what_is_no_such_document_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        sbom.read(path)
    assert refused.value.code == "sbom-format"


@pytest.mark.parametrize(
    "text",
    [
        '{"spdxVersion": "SPDX-2.3", "packages": [7, {"name": 5}, {"name": "a", "externalRefs": {}}]}',
        '{"bomFormat": "CycloneDX", "components": {"a": 1}}',
        '{"@context": ["https://spdx.org/rdf/3.1/x"], "@graph": [{"type": "software_Package"}]}',
    ],
)
def test_fields_of_a_wrong_kind_are_passed_over(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    path.write_text(text)
    assert {package.name for package in sbom.read(path).packages} <= {"a"}


def test_a_document_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        sbom.read(tmp_path / "absent.json")
    assert refused.value.code == "file-missing"
