"""Who signs, and that devices would accept it."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from ota.errors import OtaError
from packager import keys
from packager.tests.conftest import FindTool, Project


def openssl(folder: Path, *arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """root.pem, middle.pem signed by it, leaf.pem signed by that; each with its .key."""
    folder = tmp_path_factory.mktemp("authority")
    extensions = {
        "root": "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash",
        "middle": "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign",
        "leaf": "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=emailProtection",
        "web": "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth",
    }
    for name, issuer in (("root", "root"), ("middle", "root"), ("leaf", "middle"), ("web", "middle")):
        (folder / "extensions").write_text(extensions[name])
        openssl(
            folder, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", "request",
        )  # fmt: skip
        by = (
            ["-signkey", "root.key"]
            if name == "root"
            else ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"]
        )
        openssl(
            folder, "x509", "-req", "-in", "request", *by, "-CAcreateserial", "-days", "30",
            "-extfile", "extensions", "-out", f"{name}.pem",
        )  # fmt: skip
    return folder


def sign(authority: Path, name: str, **more: str) -> str:
    """The table [sign] for one of the authority's certificates."""
    lines = {"certificate": f"{name}.pem", "key": f"{name}.key", **more}
    return "[sign]\n" + "\n".join(f'{key} = "{authority / file}"' for key, file in lines.items())


def test_a_development_key_is_private_made_once_and_named_a_risk(project: Project) -> None:
    folder = project.folder / "keys"
    arguments = ("build", project.write("raw", sign=""), "-o", project.out, "--dev-keys", folder)
    first = project.otapack(*arguments)
    assert first.status == 0
    assert "not for production" in first.json["signer"]
    assert "WARNING: signing with a development key" in first.log
    assert stat.S_IMODE((folder / "dev.key").stat().st_mode) == 0o600
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(before) == ["dev.key", "dev.pem"]
    assert "WARNING: signing with a development key" in project.otapack(*arguments).log
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert project.otapack("verify", project.package, "--certificate", folder / "dev.pem").status == 0


def test_openssl_accepts_the_signature(project: Project, tool: FindTool) -> None:
    assert project.build("raw").status == 0
    members = project.folder / "members"
    members.mkdir()
    subprocess.run([tool("cpio"), "-i", "--quiet"], stdin=project.package.open("rb"), cwd=members, check=True)
    openssl(
        members, "cms", "-verify", "-inform", "DER", "-in", "sw-description.sig", "-binary",
        "-content", "sw-description", "-CAfile", project.signer.certificate, "-out", "/dev/null",
    )  # fmt: skip


def test_half_a_development_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "dev.pem").write_text("precious")
    with pytest.raises(OtaError, match="file-missing") as refusal:
        keys.development(tmp_path)
    assert "dev.key" in str(refusal.value)
    assert (tmp_path / "dev.pem").read_text() == "precious"


def test_without_openssl_there_is_no_development_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OtaError, match="tool-missing"):
        keys.development(tmp_path / "keys")
    assert not list((tmp_path / "keys").iterdir())


def test_two_signers_are_refused_and_so_is_none(project: Project) -> None:
    folder = project.folder / "keys"
    both = ("build", project.write("raw"), "-o", project.out, "--dev-keys", folder)
    answer = project.otapack(*both)
    assert (answer.status, answer.code, answer.json["error"]["found"]) == (6, "release-content", "both")
    answer = project.build("raw", sign="")
    assert (answer.status, answer.code) == (6, "release-content")
    assert "--dev-keys" in answer.log
    assert not project.out.exists() and not folder.exists()


def test_a_chain_up_to_the_root_that_devices_trust_is_enclosed(project: Project, authority: Path) -> None:
    answer = project.build("raw", sign=sign(authority, "leaf", chain="middle.pem", ca="root.pem"))
    assert (answer.status, answer.json["signer"]) == (0, "CN = leaf")
    assert project.otapack("verify", project.package, "--certificate", authority / "root.pem").status == 0


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("leaf", {}),
        ("leaf", {"ca": "root.pem"}),
        ("leaf", {"chain": "middle.pem"}),
        ("leaf", {"chain": "middle.pem", "ca": "web.pem"}),
        ("web", {"chain": "middle.pem", "ca": "root.pem"}),
    ],
)
def test_a_signature_that_devices_would_refuse_is_never_made(
    project: Project, authority: Path, name: str, more: dict[str, str]
) -> None:
    answer = project.build("raw", sign=sign(authority, name, **more))
    assert (answer.status, answer.code) == (7, "signature-invalid")
    assert "'ca' in [sign]" in answer.log
    assert not project.out.exists()


def test_a_key_that_is_not_the_certificates_is_refused(project: Project, authority: Path) -> None:
    answer = project.build("raw", sign=sign(authority, "leaf", key="web.key"))
    assert (answer.status, answer.code) == (7, "certificate")
    assert "web.key" in answer.log and "leaf.pem" in answer.log
    assert not project.out.exists()


def test_a_file_that_is_no_certificate_is_refused(project: Project) -> None:
    answer = project.build("raw", sign=f'[sign]\ncertificate = "v1.img"\nkey = "{project.signer.key}"')
    assert (answer.status, answer.code) == (7, "certificate")
