"""Bad input ends in one line with a stable code, and slots and boot environment as they were."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.errors import CODES
from ota.formats import zchunk
from ota.tests.server import Server
from ota.tests.world import IMAGE_SIZE, SLOT_SIZE, Outcome, World, sha256

Build = Callable[[World], Path]

needs_root = pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="mounting needs root")


def delta_entry(world: World, header: Path, **replaced: str) -> str:
    """One image of type delta; keyword arguments replace attributes, written as libconfig."""
    attributes = {
        "filename": f'"{header.name}"',
        "type": '"delta"',
        "device": '"/dev/mmcblk0p3"',
        "sha256": f'"{sha256(header)}"',
        "url": f'"{world.server.url}/v2.ext4.zck"',
        **replaced,
    }
    url = attributes.pop("url")
    body = " ".join(f"{name} = {value};" for name, value in attributes.items() if value)
    return (
        f'{{ {body} properties: {{ url = {url}; chain = "raw"; source = "/dev/mmcblk0p2"; '
        f'image-size = "{IMAGE_SIZE}"; }}; }}'
    )


def good(world: World) -> Path:
    _, header = world.make_delta(world.v2)
    return world.make_package(world.description(delta_entry(world, header)), header)


def with_entry(**replaced: str) -> Build:
    def build(world: World) -> Path:
        _, header = world.make_delta(world.v2)
        return world.make_package(world.description(delta_entry(world, header, **replaced)), header)

    return build


def edited(edit: Callable[[bytes], bytes]) -> Build:
    def build(world: World) -> Path:
        package = good(world)
        package.write_bytes(edit(package.read_bytes()))
        return package

    return build


def with_header(change: Callable[[bytes], bytes]) -> Build:
    """A package that is rightly signed, around a header that is not right."""

    def build(world: World) -> Path:
        header = world.folder / "strange.zck-header"
        header.write_bytes(change(world.make_delta(world.v2)[1].read_bytes()))
        return world.make_package(world.description(delta_entry(world, header)), header)

    return build


def unsigned(world: World) -> Path:
    return repack(world, lambda names: [name for name in names if name != "sw-description.sig"])


def doubled(world: World) -> Path:
    return repack(world, lambda names: [*names, names[-1]])


def missing(world: World) -> Path:
    return repack(world, lambda names: names[:-1])


def misnamed(world: World) -> Path:
    package = good(world)
    front, name, back = package.read_bytes().rpartition(b"v2.ext4.zck-header")
    package.write_bytes(front + b"./" + name[2:] + back)
    return package


def climbing(world: World) -> Path:
    return repack(world, lambda names: [*names, "../pack/sw-description"])


def absolute(world: World) -> Path:
    return repack(world, lambda names: [*names, "/etc/hostname"])


def repack(world: World, order: Callable[[list[str]], list[str]]) -> Path:
    package = good(world)
    names = order(["sw-description", "sw-description.sig", "v2.ext4.zck-header"])
    packed = subprocess.run(
        [world.tool("cpio"), "-o", "-H", "crc", "--quiet"],
        input="\n".join(names).encode() + b"\n",
        capture_output=True,
        cwd=world.folder / "pack",
        check=True,
    )
    package.write_bytes(packed.stdout)
    return package


def resealed(body_of: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Change a header's body and make its own checksum right again."""

    def change(data: bytes) -> bytes:
        lead_size = len(zchunk.MAGIC) + 1 + 3  # checksum type, and a size of three groups
        lead, body = data[:lead_size], body_of(data[lead_size + 32 :])
        assert hashlib.sha256(lead + data[lead_size + 32 :]).digest() == data[lead_size : lead_size + 32]
        return lead + hashlib.sha256(lead + body).digest() + body

    return change


def endless_count(body: bytes) -> bytes:
    """A chunk count of 2**70 in place of the right one."""
    index = 32 + 1 + 1 + 3 + 1  # data checksum, flags, compression, index size, chunk hash type
    return body[:index] + b"\0" * 10 + b"\x81" + body[index + 11 :]


def longer_chunk(body: bytes) -> bytes:
    """One more byte in the first chunk's plain length, so that the chunks no longer add up to the image."""
    lengths = 32 + 1 + 1 + 3 + 1 + 2 + 66 + 64  # behind the digests of the first chunk
    while not body[lengths] & 0x80:  # the coded length
        lengths += 1
    return body[: lengths + 1] + bytes([body[lengths + 1] ^ 1]) + body[lengths + 2 :]


CASES: list[tuple[str, Build, str]] = [
    ("no signature", unsigned, "signature-missing"),
    ("description altered", edited(lambda d: d.replace(b'"2.0"', b'"9.0"', 1)), "archive-checksum"),
    ("truncated", edited(lambda d: d[: len(d) // 2]), "archive-truncated"),
    ("empty", edited(lambda d: b""), "archive-truncated"),
    ("not an archive", edited(lambda d: b"PK\3\4" + d[4:]), "archive-format"),
    ("member altered", edited(lambda d: d[:-2000] + bytes([d[-2000] ^ 1]) + d[-1999:]), "archive-checksum"),
    ("member missing", missing, "member-missing"),
    ("member doubled", doubled, "member-doubled"),
    ("member misnamed", misnamed, "member-missing"),
    ("member climbs", climbing, "member-name"),
    ("member absolute", absolute, "member-name"),
    ("digest wrong", with_entry(sha256=f'"{"0" * 64}"'), "digest-mismatch"),
    ("length wrong", with_entry(size="12345L"), "member-size"),
    ("digest absent", with_entry(sha256=""), "digest-missing"),
    ("type unknown", with_entry(type='"flashrom"'), "description-type"),
    ("target is the running slot", with_entry(device='"/dev/mmcblk0p2"'), "slot-running"),
    ("target absent", with_entry(device=""), "description-content"),
    ("target does not exist", with_entry(device='"/nonexistent/device"'), "slot-unreadable"),
    ("URL of another kind", with_entry(url='"ftp://localhost/x.zck"'), "description-content"),
    ("server absent", with_entry(url='"https://localhost:1/x.zck"'), "connect"),
    ("header altered", with_header(lambda d: d[:-1] + bytes([d[-1] ^ 1])), "header-format"),
    ("header truncated", with_header(lambda d: d[:-20]), "header-format"),
    ("chunk sum altered", with_header(resealed(longer_chunk)), "header-format"),
    ("chunk count overflows", with_header(resealed(endless_count)), "header-format"),
    ("header of nothing", with_header(lambda d: b""), "header-format"),
]


def check(world: World, package: Path, code: str) -> Outcome:
    untouched = world.untouched()
    outcome = world.ota("install", package)
    assert outcome.code == code in CODES, outcome
    assert outcome.status in (3, 4, 5, 6, 7)
    assert len(outcome.errors.strip().splitlines()) == 1, outcome.errors
    assert untouched()
    return outcome


@pytest.mark.parametrize(("build", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_bad_package_is_refused_and_nothing_changes(world: World, build: Build, code: str) -> None:
    check(world, build(world), code)


def test_a_chunk_that_the_server_cannot_prove_fails_the_update_and_leaves_the_running_slot(
    world: World,
) -> None:
    package = with_header(resealed(lambda body: body[:200] + b"x" + body[201:]))(world)
    running = sha256(world.slot_a)
    assert world.ota("install", package).code == "digest-mismatch"
    assert sha256(world.slot_a) == running
    assert world.environment.read_text() == "boot_slot=a\nrecovery_status=failed\nustate=3\n"
    assert world.ota("install", good(world)).status == 0
    assert world.holds(world.slot_b, world.v2)


def test_the_package_that_the_bad_ones_were_made_from_installs(world: World) -> None:
    outcome = world.ota("install", good(world))
    assert outcome.status == 0, outcome
    assert world.holds(world.slot_b, world.v2)


def test_a_package_of_another_signer_is_refused(world: World) -> None:
    package = good(world)
    other = world.folder / "other.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -out {other} -keyout /dev/null"
    subprocess.run(command.split(), check=True, capture_output=True)
    world.write_config(trust='trust.certificates = ["other.pem"]')
    check(world, package, "signature-invalid")


def test_a_signed_description_that_was_altered_is_refused(world: World) -> None:
    package = good(world)
    (world.folder / "pack/sw-description").write_text(
        (world.folder / "pack/sw-description").read_text().replace('"2.0"', '"9.0"')
    )
    names = b"sw-description\nsw-description.sig\nv2.ext4.zck-header\n"
    command: list[str | Path] = [world.tool("cpio"), "-o", "-H", "crc", "--quiet"]
    packed = subprocess.run(command, input=names, capture_output=True, cwd=world.folder / "pack", check=True)
    package.write_bytes(packed.stdout)
    check(world, package, "signature-invalid")


def test_an_update_for_another_board_is_refused(world: World) -> None:
    world.write_config(revision='revision = "2.7"')
    check(world, good(world), "hardware-mismatch")


def test_an_image_larger_than_the_slot_is_refused(world: World) -> None:
    os.truncate(world.slot_b, IMAGE_SIZE - 4096)
    try:
        check(world, good(world), "slot-size")
    finally:
        os.truncate(world.slot_b, SLOT_SIZE)


def test_a_selection_that_is_not_there_is_refused(world: World) -> None:
    untouched = world.untouched()
    assert world.ota("install", good(world), "--select", "stable,copy-x").code == "selection-missing"
    assert world.ota("install", good(world), "--select", "stable").code == "config-value"
    assert untouched()


def test_a_download_over_the_budget_is_refused(world: World) -> None:
    untouched = world.untouched()
    assert world.ota("install", good(world), "--max-download", "1000").code == "over-budget"
    assert untouched()


@needs_root
def test_a_mounted_target_is_refused(world: World) -> None:
    package = good(world)
    world.slot_b.write_bytes(world.v1.read_bytes())
    mount = world.folder / "mount"
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", world.slot_b, mount], check=True)
    try:
        check(world, package, "slot-mounted")
    finally:
        subprocess.run(["umount", mount], check=True)


@needs_root
def test_a_full_disk_is_reported(world: World) -> None:
    package = good(world)
    small = world.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], check=True)
    try:
        world.write_config(state_dir='state_dir = "small"')
        (small / "filler").write_bytes(bytes(4096))
        outcome = world.ota("install", package)
        assert outcome.code == "disk-full", outcome
        assert world.slot_b.read_bytes() == b"\xff" * SLOT_SIZE
    finally:
        subprocess.run(["umount", small], check=True)


def test_what_is_not_compressed_as_it_says_is_refused_before_anything_is_written(world: World) -> None:
    entry = world.raw_entry(world.v1).replace("type =", 'compressed = "zlib"; type =')
    is_untouched = world.untouched()
    outcome = world.ota("install", world.make_package(world.description(entry), world.v1))
    assert outcome.code == "payload-format"
    assert is_untouched()  # the boot environment too


def test_an_unknown_configuration_key_is_named(world: World) -> None:
    world.write_config(limits="limits.memroy = '64M'")
    outcome = check(world, good(world), "config-key")
    assert "memroy" in outcome.errors
    assert "device.toml" in outcome.errors


def test_a_missing_file_is_reported(world: World) -> None:
    check(world, world.folder / "nothing.swu", "file-missing")


class TestServers:
    """A server that cannot serve the update is noticed before the first write."""

    def test_404(self, world: World) -> None:
        package = with_entry(url=f'"{world.server.url}/gone.zck"')(world)
        assert "404" in check(world, package, "http-status").errors

    def test_an_unknown_certificate_authority(self, world: World) -> None:
        world.write_config(network="network.retries = 0")
        check(world, good(world), "tls")

    def test_another_host_name(self, world: World) -> None:
        url = world.server.url.replace("localhost", "127.0.0.1")
        check(world, with_entry(url=f'"{url}/v2.ext4.zck"')(world), "tls")

    def test_another_file_of_another_length(self, world: World) -> None:
        (world.publish / "other.zck").write_bytes(world.make_delta(world.v2)[0].read_bytes() + b"x")
        check(world, with_entry(url=f'"{world.server.url}/other.zck"')(world), "server-content")

    def test_other_bytes(self, world: World) -> None:
        size = world.make_delta(world.v2)[0].stat().st_size
        (world.publish / "other.zck").write_bytes(os.urandom(size))
        check(world, with_entry(url=f'"{world.server.url}/other.zck"')(world), "digest-mismatch")

    def test_too_few_bytes(self, world: World) -> None:
        data = world.make_delta(world.v2)[0].read_bytes()
        (world.publish / "short.zck").write_bytes(data[: len(data) // 2])
        check(world, with_entry(url=f'"{world.server.url}/short.zck"')(world), "server-content")


@pytest.mark.parametrize("extra", ["max_ranges 1;", "max_ranges 0;"], ids=["multi-range", "ranges"])
def test_a_server_without(extra: str, world: World, tmp_path: Path) -> None:
    """Any HTTP server will do."""
    with Server(tmp_path / "nginx", world.publish, world.tool("nginx"), extra) as server:
        world.write_config(network=f'network.ca = "{server.ca}"')
        package = with_entry(url=f'"{server.url}/v2.ext4.zck"')(world)
        outcome = world.ota("install", package)
        assert outcome.status == 0, outcome
        assert world.holds(world.slot_b, world.v2)
