"""Packages for stock SWUpdate install here: made by hand with zck, rdiff, openssl and cpio, or swugenerator.

Each is first installed by the real SWUpdate 2024.12, so that it is beyond doubt a package for stock.
"""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ota.tests import chain, stock
from ota.tests.world import World, sha256

pytestmark = pytest.mark.compat

Make = Callable[[World], Path]


def plain(data: bytes) -> bytes:
    return data


def raw(compress: Callable[[bytes], bytes], word: str) -> Make:
    def make(world: World) -> Path:
        image = world.folder / "image.bin"
        image.write_bytes(compress(world.v2.read_bytes()))
        return world.make_package(world.description(entry("raw", image, word)), image)

    return make


def rdiff(compress: Callable[[bytes], bytes], word: str) -> Make:
    def make(world: World) -> Path:
        signature, delta = world.folder / "v1.signature", world.folder / "v1-v2.rdiff"
        subprocess.run([world.tool("rdiff"), "-f", "signature", world.v1, signature], check=True)
        subprocess.run([world.tool("rdiff"), "-f", "delta", signature, world.v2, delta], check=True)
        delta.write_bytes(compress(delta.read_bytes()))
        properties = 'properties: { rdiffbase = [ "/dev/mmcblk0p2" ]; };'
        return world.make_package(world.description(entry("rdiff_image", delta, word + properties)), delta)

    return make


def json_description(world: World) -> Path:
    images = [
        {"filename": "v2.ext4", "type": "raw", "device": "/dev/mmcblk0p3", "sha256": sha256(world.v2)},
    ]
    mode = {"images": images, "bootenv": [{"name": "boot_slot", "value": "b"}]}
    software = {"version": "2.0", "hardware-compatibility": ["1.0"], "stable": {"copy-b": mode}}
    return world.make_package(json.dumps({"software": software}), world.v2)


def swugenerator_raw(world: World) -> Path:
    image = '{ filename = "v2.ext4"; type = "raw"; compressed = "zlib"; device = "/dev/mmcblk0p3"; }'
    return swugenerator(world, image, f"CMS,{world.key},{world.certificate}")


def swugenerator_delta(world: World) -> Path:
    """It publishes its .zck beside the image."""
    properties = delta_properties(world, world.publish / "v2.ext4.zck")
    image = '{ filename = "v2.ext4"; type = "delta"; device = "/dev/mmcblk0p3"; properties: { %s }; }'
    (world.publish / "v2.ext4").write_bytes(world.v2.read_bytes())
    return swugenerator(world, image % properties, f"CMS,{world.key},{world.certificate}", world.publish)


def swugenerator(world: World, image: str, sign: str, folder: Path | None = None) -> Path:
    """It fills in what depends on the artifacts: sha256, compressed names, zchunk headers."""
    template, package = world.folder / "sw-description.in", world.folder / "generated.swu"
    template.write_text(world.description(image))
    command: list[str | Path] = [sys.executable, "-m", "swugenerator.main", "-s", template, "-k", sign]
    command += ["-a", folder or world.folder, "-o", package, "create"]
    subprocess.run(command, check=True, capture_output=True)
    return package


def entry(kind: str, artifact: Path, more: str) -> str:
    return (
        f'{{ filename = "{artifact.name}"; type = "{kind}"; device = "/dev/mmcblk0p3"; '
        f'sha256 = "{sha256(artifact)}"; {more} }}'
    )


def delta_properties(world: World, published: Path) -> str:
    url = f"{world.server.url}/{published.name}"
    return f'url = "{url}"; chain = "raw"; source = "/dev/mmcblk0p2"; zckloglevel = "error";'


PACKAGES: dict[str, Make] = {
    "raw": raw(plain, ""),
    "raw, zlib": raw(gzip.compress, 'compressed = "zlib";'),
    "raw, zstd": raw(zstandard.compress, 'compressed = "zstd";'),
    "raw, JSON": json_description,
    "rdiff_image": rdiff(plain, ""),
    "rdiff_image, zlib": rdiff(gzip.compress, 'compressed = "zlib";'),
    "rdiff_image, zstd": rdiff(zstandard.compress, 'compressed = "zstd";'),
    "swugenerator: raw, zlib": swugenerator_raw,
    "swugenerator: delta": swugenerator_delta,
}


def installs_here(world: World, package: Path) -> None:
    world.reset()
    outcome = world.ota("install", package)
    assert outcome.status == 0, outcome.errors
    assert world.holds(world.slot_b, world.v2)
    assert "boot_slot=b" in world.environment.read_text().splitlines()


@pytest.mark.parametrize("make", PACKAGES.values(), ids=PACKAGES.keys())
def test_what_stock_installs_we_install_and_both_give_the_image(make: Make, world: World) -> None:
    package = make(world)
    run = stock.install(world, stock.BACKPORTS, package)
    assert run.installed, run.log
    assert "Bootloader var: boot_slot = b" in run.log
    assert world.holds(world.slot_b, world.v2)
    installs_here(world, package)


@pytest.mark.parametrize("make", [raw, rdiff])
def test_xz_installs_here_though_debian_builds_stock_without_it(
    make: Callable[[Callable[[bytes], bytes], str], Make], world: World
) -> None:
    package = make(lambda data: lzma.compress(data, preset=0), 'compressed = "xz";')(world)
    for program in stock.VERSIONS:
        run = stock.install(world, program, package)
        assert not run.installed
        assert "compressed argument: 'xz' unknown" in run.log
    installs_here(world, package)


def test_a_delta_gives_the_image_for_no_more_bytes_than_stock_fetches_and_as_foreseen(world: World) -> None:
    published, header = world.make_delta(world.v2)
    properties = f"properties: {{ {delta_properties(world, published)} }};"
    package = world.make_package(world.description(entry("delta", header, properties)), header)
    foreseen = world.ota("plan", package).answer["fetched_bytes"]

    start = len(world.server.requests())
    run = stock.install(world, stock.BACKPORTS, package)
    assert run.installed, run.log
    assert world.holds(world.slot_b, world.v2)
    theirs = sum(request.range_bytes for request in world.server.requests()[start:])

    start = len(world.server.requests())
    installs_here(world, package)
    ours = sum(request.range_bytes for request in world.server.requests()[start:])
    assert 0 < ours <= theirs
    assert ours == foreseen


def test_a_chain_that_swugenerator_encloses_is_followed_to_the_trusted_root(world: World) -> None:
    made = chain.make(world.folder / "chain")
    image = '{ filename = "v2.ext4"; type = "raw"; compressed = "zlib"; device = "/dev/mmcblk0p3"; }'
    package = swugenerator(world, image, f"CMS,{made.key},{made.certificate},,{made.intermediate}")
    assert stock.install(world, stock.BACKPORTS, package, trust=made.root).installed
    world.write_config(trust=f'trust.certificates = ["{made.root}"]')
    installs_here(world, package)


def test_an_rsa_signature_by_swugenerator_is_checked_against_the_public_key(world: World) -> None:
    """Debian builds stock for CMS only, so stock cannot say here whether the package is right."""
    public = world.folder / "public.pem"
    subprocess.run(["openssl", "pkey", "-in", world.key, "-pubout", "-out", public], check=True)
    image = '{ filename = "v2.ext4"; type = "raw"; compressed = "zlib"; device = "/dev/mmcblk0p3"; }'
    package = swugenerator(world, image, f"RSA,{world.key}")
    world.write_config(trust=f'trust.public_keys = ["{public}"]')
    installs_here(world, package)
