"""What `otapack build` makes, stock SWUpdate installs: Debian's 2022.12 and 2024.12, the real programs."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import pytest

from ota.formats import zchunk
from ota.native.chunker import Chunker
from ota.tests import chain, stock
from ota.tests.server import Request
from ota.tests.world import IMAGE_SIZE, World
from packager import cli, sbom
from packager.packages import MEMBER

pytestmark = pytest.mark.compat

IMAGES = {
    "raw": 'type = "raw"\ncompressed = "none"',
    "raw, zlib": 'type = "raw"\ncompressed = "zlib"\nlevel = 1',
    "raw, zstd": 'type = "raw"\ncompressed = "zstd"\nlevel = 3',
    "rdiff_image": 'type = "rdiff_image"\nbase = "v1.ext4"\ncompressed = "none"',
    "rdiff_image, zlib": 'type = "rdiff_image"\nbase = "v1.ext4"\ncompressed = "zlib"',
    "rdiff_image, zstd": 'type = "rdiff_image"\nbase = "v1.ext4"\ncompressed = "zstd"\nlevel = 3',
    "delta": 'type = "delta"\nurl = "{server}"',
    "delta, all methods": 'type = "delta"\nurl = "{server}"\nmethods = ["zchunk", "rdiff", "full"]\n'
    '[[base]]\nversion = "1.0"\nimages = {{ delta-all-methods = "v1.ext4" }}',
}


@pytest.fixture
def world(shared: World) -> World:
    shared.reset()
    shared.write_config(trust='trust.certificates = ["keys/dev.pem"]')
    return shared


@pytest.fixture(scope="module")
def packages(shared: World) -> Mapping[str, Path]:
    return {kind: build(shared, kind, lines) for kind, lines in IMAGES.items()}


def build(
    world: World, name: str, image: str, *, file: str = "v2.ext4", sign: str = "", head: str = ""
) -> Path:
    """Build and publish a release of one image; without `sign`, with development keys."""
    release, output = world.folder / "release.toml", world.folder / "output" / name
    word = re.sub(r"\W+", "-", name)
    release.write_text(
        f'name = "demo"\nversion = "2.0"\nboard = "demo"\n{head}\n{sign}\n'
        f'[[image]]\nname = "{word}"\nfile = "{file}"\n{image.format(server=world.server.url)}\n'
    )
    keys = [] if sign else ["--dev-keys", str(world.folder / "keys")]
    assert cli.main(["build", str(release), "-o", str(output), "--quiet", *keys]) == 0
    if (output / "publish").exists():
        shutil.copytree(output / "publish", world.publish, dirs_exist_ok=True)
    return output / "demo-2.0.swu"


def stock_installs(world: World, program: str, package: Path, trust: Path | None = None) -> stock.Run:
    return stock.install(world, program, package, trust=trust or world.folder / "keys" / "dev.pem")


@pytest.mark.parametrize("program", stock.VERSIONS)
@pytest.mark.parametrize("kind", IMAGES)
def test_stock_installs_what_we_build(
    kind: str, program: str, packages: Mapping[str, Path], world: World
) -> None:
    run = stock_installs(world, program, packages[kind])
    assert run.installed, run.log
    assert "Bootloader var: boot_slot = b" in run.log
    assert world.holds(world.slot_b, world.v2)


@pytest.mark.parametrize("kind", IMAGES)
def test_so_do_we(kind: str, packages: Mapping[str, Path], world: World) -> None:
    installs_here(world, packages[kind])


def installs_here(world: World, package: Path) -> None:
    world.reset()
    outcome = world.ota("install", package)
    assert outcome.status == 0, outcome.errors
    assert world.holds(world.slot_b, world.v2)


@pytest.mark.parametrize("form", ["libconfig", "json"])
def test_a_list_of_packages_in_the_package_is_passed_over(form: str, world: World) -> None:
    listed = sbom.Image("rootfs", "0" * 64, [sbom.Package("bash", "5.2")])
    (world.folder / "list.spdx.json").write_bytes(sbom.render("demo", "2.0", [listed], time=0))
    lines = IMAGES["delta"] + '\nsbom = "list.spdx.json"'
    package = build(world, f"listed-{form}", lines, head=f'format = "{form}"')
    assert MEMBER.encode() in package.read_bytes()
    for program in stock.VERSIONS:
        world.reset()
        run = stock_installs(world, program, package)
        assert run.installed, run.log
        assert world.holds(world.slot_b, world.v2)
    installs_here(world, package)


def test_xz_is_what_debian_builds_stock_without(world: World) -> None:
    package = build(world, "xz", 'type = "rdiff_image"\nbase = "v1.ext4"\ncompressed = "xz"\nlevel = 0')
    for program in stock.VERSIONS:
        run = stock_installs(world, program, package)
        assert not run.installed
        assert "compressed argument: 'xz' unknown" in run.log
    installs_here(world, package)


def asked(requests: Sequence[Request]) -> set[int]:
    """The bytes of the file that were asked for, by offset."""
    pairs = [pair for request in requests for pair in re.findall(r"(\d+)-(\d+)", request.ranges)]
    return {offset for first, last in pairs for offset in range(int(first), int(last) + 1)}


def spared(world: World, image: Path) -> set[int]:
    """The bytes of the published file that nobody needs to fetch who looks: zeros, and what comes twice."""
    data = image.read_bytes()
    header = zchunk.parse((world.publish / "delta-2.0.zck").read_bytes())
    seen: set[bytes] = set()
    spare: set[int] = set()
    for number, chunk in enumerate(header):
        content = data[header.offset(number) : header.offset(number) + chunk.length]
        if not any(content) or chunk.digest in seen:
            spare.update(range(chunk.start, chunk.stop))
        seen.add(chunk.digest)
    return spare


@pytest.mark.parametrize("program", stock.VERSIONS)
def test_a_delta_asks_the_server_for_the_same_chunks_here_as_in_stock(
    program: str, packages: Mapping[str, Path], world: World
) -> None:
    foreseen = world.ota("plan", packages["delta"]).answer["fetched_bytes"]
    start = len(world.server.requests())
    installs_here(world, packages["delta"])
    ours = asked(world.server.requests()[start:])
    assert 0 < len(ours) == foreseen

    world.reset()
    start = len(world.server.requests())
    assert stock_installs(world, program, packages["delta"]).installed
    theirs = asked(world.server.requests()[start:])
    assert ours.issubset(theirs)
    assert (theirs - ours).issubset(spared(world, world.v2))


def test_what_is_new_twice_comes_to_us_once_and_to_stock_twice(world: World) -> None:
    """Every second chunk is new besides: more gaps than the 150 ranges that stock asks for at once."""
    noise = random.Random(3)
    old = noise.randbytes(IMAGE_SIZE)
    new = bytearray(old)
    lengths = Chunker().feed(old)
    for start, length in list(zip(accumulate(lengths), lengths[1:], strict=False))[::2]:
        new[start + length // 2] ^= 1
    twice = noise.randbytes(512 << 10)
    for start in (4 << 20, 12 << 20):
        new[start : start + len(twice)] = twice
    (world.folder / "v3.img").write_bytes(new)
    package = build(world, "v3", IMAGES["delta"], file="v3.img")
    world.slot_a.write_bytes(old)
    foreseen = world.ota("plan", package).answer["fetched_bytes"]
    assert isinstance(foreseen, int)

    for program in stock.VERSIONS:
        start = len(world.server.requests())
        run = stock_installs(world, program, package)
        assert run.installed, run.log
        assert world.slot_b.read_bytes()[:IMAGE_SIZE] == new
        first, *more = world.server.requests()[start:]
        assert first.ranges.count("-") == 150 and more
        theirs = sum(request.range_bytes for request in (first, *more))
        assert theirs - foreseen > len(twice) // 2  # the chunks at its ends are not the same

    assert world.ota("install", package).status == 0
    assert world.slot_b.read_bytes()[:IMAGE_SIZE] == new


@pytest.mark.parametrize("longer", ["signer", "intermediate"])
def test_a_chain_of_certificates_is_followed_to_the_trusted_root(longer: str, world: World) -> None:
    """wolfSSL, in Debian's 2024.12, reads the enclosed certificates once, in the order of the CMS.

    Where the signer's is the shorter one, it comes before the intermediate that vouches for it, and is
    refused unless the device has the intermediate too.
    """
    made = chain.make(world.folder / f"chain-{longer}", longer=longer)
    sign = f'[sign]\ncertificate = "{made.certificate}"\nkey = "{made.key}"\nchain = "{made.intermediate}"\n'
    package = build(world, f"chain-{longer}", IMAGES["raw, zstd"], sign=f'{sign}ca = "{made.root}"')
    world.write_config(trust=f'trust.certificates = ["{made.root}"]')
    installs_here(world, package)

    world.reset()
    run = stock_installs(world, stock.BOOKWORM, package, made.root)
    assert run.installed, run.log
    assert world.holds(world.slot_b, world.v2)

    world.reset()
    run = stock_installs(world, stock.BACKPORTS, package, made.root)
    assert run.installed == (longer == "signer"), run.log
    if not run.installed:
        assert "Signature verification failed" in run.log
        both = world.folder / "both.pem"
        both.write_text(made.root.read_text() + made.intermediate.read_text())
        assert stock_installs(world, stock.BACKPORTS, package, both).installed
    assert world.holds(world.slot_b, world.v2)
