"""A package that is not what it was signed as is refused, wherever it was changed."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ota.errors import OtaError
from ota.formats import cpio
from ota.io.readers import blocks
from ota.native import crypto
from ota.trust.signature import Trust
from packager import check, keys
from packager.contents import Contents
from packager.interfaces import Companions
from packager.keys import Signer
from packager.tests.conftest import TYPES, Project

Files = list[tuple[str, bytes]]


def unpack(package: Path) -> Files:
    with package.open("rb") as file:
        return [(member.name, b"".join(blocks(reader))) for member, reader in cpio.members(file)]


def flip(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 0x10
    return bytes(changed)


@pytest.mark.parametrize("kind", TYPES)
def test_a_flipped_byte_in_any_member_is_refused(project: Project, kind: str) -> None:
    assert project.build(kind).status == 0
    whole = project.package.read_bytes()
    with project.package.open("rb") as file:
        found = [member for member, _ in cpio.members(file)]
    for member in found:
        for position in (0, member.size // 2, member.size - 1):
            project.package.write_bytes(flip(whole, member.offset + position))
            answer = project.verify()
            assert (answer.status, answer.code) == (3, "archive-checksum")


@pytest.mark.parametrize("kind", TYPES)
def test_a_changed_member_is_refused_even_with_its_checksum_mended(project: Project, kind: str) -> None:
    assert project.build(kind).status == 0
    files = unpack(project.package)
    codes = {"sw-description": {"signature-invalid"}, "sw-description.sig": {"signature-invalid"}}
    for number, (name, data) in enumerate(files):
        for position in (0, len(data) // 3, len(data) - 1):
            with project.package.open("wb") as output:
                changed = [*files[:number], (name, flip(data, position)), *files[number + 1 :]]
                cpio.write(output, changed)
            answer = project.verify()
            assert answer.status == 7
            assert answer.code in codes.get(name, {"digest-mismatch"})
            assert name in answer.log or answer.code == "signature-invalid"


def test_any_change_of_the_published_file_is_refused(project: Project) -> None:
    assert project.build("delta").status == 0
    assert project.verify().status == 0
    whole = project.published.read_bytes()
    chance = random.Random(1)
    positions = [
        0,
        40,
        5000,
        len(whole) // 2,
        len(whole) - 1,
        *(chance.randrange(len(whole)) for _ in range(30)),
    ]
    for changed in (*(flip(whole, position) for position in positions), whole[:-1], whole + b"\0", b""):
        project.published.write_bytes(changed)
        answer = project.verify()
        assert (answer.status, answer.code) == (7, "digest-mismatch")
        assert project.published.name in answer.log
    project.published.unlink()
    answer = project.verify()
    assert (answer.status, answer.code) == (6, "file-missing")
    assert project.published.name in answer.log


def test_without_the_published_folder_and_base_the_package_alone_is_verified(project: Project) -> None:
    assert project.build("delta").status == 0
    shutil.rmtree(project.out / "publish")
    answer = project.otapack("verify", project.package, "--certificate", project.signer.certificate)
    assert answer.status == 0
    assert "zck" not in answer.json["artifacts"][0]


def test_an_rdiff_delta_is_refused_for_another_base(project: Project) -> None:
    assert project.build("rdiff_image").status == 0
    answer = project.verify("--base", project.folder / "v2.img")
    assert (answer.status, answer.code) == (3, "delta-base")


def test_only_a_trusted_signature_will_do(project: Project, tmp_path: Path) -> None:
    assert project.build("raw").status == 0
    other = keys.development(tmp_path / "other").certificate
    answer = project.otapack("verify", project.package, "--certificate", other)
    assert (answer.status, answer.code) == (7, "signature-invalid")
    both = ("--certificate", other, "--certificate", project.signer.certificate)
    assert project.otapack("verify", project.package, *both).status == 0
    answer = project.otapack("verify", project.package)
    assert (answer.status, answer.code) == (6, "config-value")
    assert "--certificate" in answer.log


DESCRIPTION = """software = {{
  version = "3"; hardware-compatibility: [ "1" ];
  {before} images: ( {{ filename = "a"; type = "{kind}"; device = "/dev/x"; sha256 = "{sha256}"; }} ); {after}
}};"""
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def foreign(tmp_path: Path, signer: Signer) -> Callable[..., Contents]:
    """Make a package by hand, and verify it."""

    def make(
        description: str = DESCRIPTION,
        members: Sequence[tuple[str, bytes]] = (("a", b""),),
        signature: bytes | None = None,
        **fields: str,
    ) -> Contents:
        defaults = {"before": "", "after": "", "kind": "raw", "sha256": EMPTY}
        text = description.format(**{**defaults, **fields}).encode()
        if signature is None:
            signature = crypto.cms_sign(
                text, signer.certificate.read_bytes(), signer.key.read_bytes(), signing_time=0
            )
        signed = [("sw-description.sig", signature)] if signature else []
        package = tmp_path / "foreign.swu"
        with package.open("wb") as output:
            cpio.write(output, [("sw-description", text), *signed, *members])
        return check.verify(package, Trust((signer.certificate,), ()), Companions())

    return make


def test_a_package_of_other_tools_is_verified_too(foreign: Callable[..., Contents]) -> None:
    contents = foreign(members=[("unknown", b"1"), ("a", b""), ("more", b"2")])
    assert [member.name for member in contents.members][2:] == ["unknown", "a", "more"]
    assert [choice.selection for choice in contents.choices] == [""]
    assert contents.artifacts[0].figures["image_size"] == 0


def test_types_that_are_not_built_here_are_verified_by_their_sha256(foreign: Callable[..., Contents]) -> None:
    script = DESCRIPTION.replace("images", "scripts")
    assert foreign(script, kind="shellscript").artifacts[0].figures["member_size"] == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "tap-dance"}, "description-type"),
        ({"members": []}, "member-missing"),
        ({"sha256": "0" * 64}, "digest-mismatch"),
        ({"sha256": ""}, "digest-missing"),
        ({"signature": b""}, "signature-missing"),
        ({"signature": b"\x30\x03abc"}, "signature-invalid"),
        ({"description": "software = { };"}, "description-content"),
        ({"description": "software = {{"}, "description-syntax"),
        ({"description": DESCRIPTION.replace("hardware-compatibility", "x")}, "description-content"),
        ({"kind": "delta"}, "header-format"),
        ({"kind": "rdiff_image"}, "delta-format"),
        ({"after": "", "before": 'embedded-script = "x";'}, "feature-absent"),
        ({"kind": "lua"}, "feature-absent"),
        ({"kind": "shellscript"}, "description-type"),
        ({"kind": "archive"}, "description-content"),
    ],
)
def test_what_stock_swupdate_or_a_device_would_refuse_is_refused(
    foreign: Callable[..., Contents], fields: dict[str, str], code: str
) -> None:
    description = fields.get("description", DESCRIPTION).replace("{ }", "{{ }}")
    with pytest.raises(OtaError) as refusal:
        foreign(**{**fields, "description": description})
    assert refusal.value.code == code


def test_what_differs_between_boards_is_shown_for_each(foreign: Callable[..., Contents]) -> None:
    mode = 'images: ( {{ filename = "a"; device = "/dev/%s"; sha256 = "{sha256}"; }} );'
    boards = "".join(
        f"{name} = {{{{ set = {{{{ mode = {{{{ {mode % name} }}}}; }}}}; }}}};" for name in ("one", "two")
    )
    contents = foreign('software = {{ version = "3"; hardware-compatibility: [ "1" ]; ' + boards + " }};")
    found = [
        (choice.board, choice.selection, choice.description.entries[0].device) for choice in contents.choices
    ]
    assert found == [("one", "set,mode", "/dev/one"), ("two", "set,mode", "/dev/two")]


@pytest.mark.parametrize(
    "names",
    [("a", "sw-description"), ("sw-description", "a", "sw-description.sig"), ("sw-description.sig",), ()],
)
def test_members_in_another_order_are_refused(tmp_path: Path, names: Sequence[str]) -> None:
    with (tmp_path / "package").open("wb") as output:
        cpio.write(output, [(name, b"software = { };") for name in names])
    with pytest.raises(OtaError, match="member-order"):
        check.inspect(tmp_path / "package")


def test_a_missing_package_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(OtaError, match="file-missing"):
            check.inspect(path)


def test_verification_finds_what_stands_behind_the_header(
    foreign: Callable[..., Contents], project: Project
) -> None:
    project.build("delta")
    data = dict(unpack(project.package))["rootfs.zck-header"] + b"\0"
    with pytest.raises(OtaError, match="header-format"):
        foreign(members=[("a", data)], kind="delta", sha256=hashlib.sha256(data).hexdigest())


def test_whatever_follows_the_archive_is_of_the_file_too(project: Project) -> None:
    assert project.build("raw").status == 0
    with project.package.open("ab") as file:
        file.write(bytes(200_000))
    answer = project.verify()
    assert answer.status == 0
    assert answer.json["size"] == project.package.stat().st_size
    assert answer.json["sha256"] == hashlib.sha256(project.package.read_bytes()).hexdigest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_changes_what_is_installed(project: Project, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["delta", "rdiff_image"]))
    package = project.folder / f"{kind}.swu"
    if not package.exists():
        assert project.build(kind).status == 0
        shutil.copy(project.package, package)
    whole = package.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = project.folder / "changed.swu"
    changed.write_bytes(flip(whole, position) if data.draw(st.booleans()) else whole[:position])
    trust = Trust((project.signer.certificate,), ())
    try:
        found = check.verify(changed, trust, Companions())
    except OtaError:
        return
    original = check.verify(package, trust, Companions())
    assert (found.choices, found.members[0], found.artifacts) == (
        original.choices,
        original.members[0],
        original.artifacts,
    )
