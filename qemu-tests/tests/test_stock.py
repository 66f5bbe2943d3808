"""SWUpdate's world and ours on one device: packages that stock tools have built, and the stock `swupdate`.

Both keep the same boot environment, so the boot logic does not care which of them has installed a release.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import stock
import trust
from board import Board
from guest import driver
from product import BOOTS_S, UPDATES_S, Method, Product, Release

from ota.formats import zchunk
from ota.tests.vendor import Vendor

BOARD: Final = "qemu-arm64"
OTHER: Final = {"a": "b", "b": "a"}
DEVICES: Final = {"a": "/dev/mmcblk0p2", "b": "/dev/mmcblk0p3"}  # as every package for SWUpdate has them

pytestmark = [pytest.mark.boards, pytest.mark.board(BOARD)]

# `globals` has to be there.
_ENTER: Final = """\
mkdir -p /run/stock
mount -t squashfs -o loop,ro /tmp/stock.squashfs /run/stock
for name in {folders}; do mount -o bind /$name /run/stock/$name; done
echo 'globals: {{ bootloader = "uboot"; }};' > /tmp/swupdate.cfg
"""


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    with Product(BOARD, tmp_path) as product:
        yield product


@pytest.fixture
def vendor(tmp_path: Path, tool: Callable[[str], Path]) -> Vendor:
    """Who makes packages with openssl and GNU cpio; the device trusts him."""
    keys = trust.trust()
    return Vendor(tmp_path, tool, (keys / trust.SIGNER, keys / trust.SIGNER_KEY))


def describe(release: Release, kind: str, member: str, content: bytes, more: Callable[[str], str]) -> str:
    """A sw-description by hand; `more` is what an entry says of a slot beside."""
    modes = "".join(
        f"""\
    copy-{slot} = {{
      images: ( {{
        filename = "{member}"; type = "{kind}"; device = "{device}";
        sha256 = "{hashlib.sha256(content).hexdigest()}"; {more(slot)}
      }} );
      bootenv: ( {{ name = "boot_slot"; value = "{slot}"; }} );
    }};
"""
        for slot, device in DEVICES.items()
    )
    return f"""\
software = {{
  version = "{release.version}";
  hardware-compatibility: [ "1.0" ];
  stable = {{
{modes}  }};
}}
"""


def make_delta(
    product: Product, vendor: Vendor, release: Release, tool: Callable[[str], Path], package: Path
) -> Path:
    """With `zck -u`, as SWUpdate's documentation says; what it makes is on the server."""
    published = package.with_suffix(".zck")
    zck: list[str | Path] = [tool("zck"), "-u", "--chunk-hash-type", "sha256", "-o", published, release.image]
    subprocess.run(zck, check=True, capture_output=True)
    url, header = product.offer(published), zchunk.parse(published.read_bytes()).data

    def more(slot: str) -> str:
        source = f'chain = "raw"; source = "{DEVICES[OTHER[slot]]}"; zckloglevel = "error";'
        return f'properties: {{ url = "{url}"; {source} }};'

    return vendor.pack(describe(release, "delta", "header", header, more), {"header": header}, package)


def make_raw(vendor: Vendor, release: Release, package: Path) -> Path:
    image = release.image.read_bytes()
    description = describe(release, "raw", "rootfs", image, lambda _: "")
    return vendor.pack(description, {"rootfs": image}, package)


def enter_stock(product: Product, board: Board) -> None:
    """Have the stock programs in the guest, in a root of their own."""
    product.bring(board, stock.image(product.emulation.architecture), "/tmp/stock.squashfs")
    board.shell(_ENTER.format(folders=" ".join(stock.FROM_GUEST)))


def test_a_device_is_updated_by_packages_of_stock_tools_and_by_stock_swupdate(
    product: Product, vendor: Vendor, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    two, three, four = (product.release(f"{version}.0.0") for version in (2, 3, 4))
    with product.power_on() as board:
        product.wait_for(board, "a")
        url = product.offer(make_delta(product, vendor, two, tool, tmp_path / "two.swu"))
        result = product.ota(board, "install", url, "--no-reboot", "--json")
        assert result.status == 0, result
        fetched = sum(request.body for request in product.requests() if request.path == "/two.zck")
        print(f"stock delta, `ota install`: {result.wall_s:.0f} s, {fetched} bytes of {two.size}")
        assert 0 < fetched < two.size // 2
        product.publish(make_raw(vendor, three, tmp_path / "three.swu"))
        board.run("reboot")
        product.wait_for_trial(board, "b", "2.0.0")
        assert product.digest("b", two.size) == two.digest
        print(f"confirmed after {board.up_s:.0f} s")

        board.wait(".*3.0.0 is installed in slot a", UPDATES_S)
        print(f"stock raw, `ota boot` by itself: installed after {board.up_s:.0f} s")
        product.wait_for_trial(board, "a", "3.0.0")
        assert product.digest("a", three.size) == three.digest
        board.wait(".*there is nothing new to install", BOOTS_S)
        print(f"confirmed after {board.up_s:.0f} s")

        product.withdraw()
        enter_stock(product, board)
        print(f"stock programs are there after {board.up_s:.0f} s")
        url = product.offer(product.pack(four, Method.RAW))
        words = ["-v", "-f", "/tmp/swupdate.cfg", "-k", "/etc/otakit/signer.pem", "-H", f"{BOARD}:1.0"]
        words += ["-e", "stable,copy-b", "-d", f"-u {url}"]
        result = board.run("chroot", "/run/stock", "swupdate", *words, timeout=UPDATES_S)
        assert result.status == 0 and "SWUPDATE successful !" in result.out + result.errors, result
        print(f"our raw, `swupdate`: {result.wall_s:.0f} s")
        assert board.shell("fw_printenv boot_slot ustate") == "boot_slot=b\nustate=1\n"
        board.run("reboot")
        board.wait(".*otakit: slot=b ustate=2 tries=1", BOOTS_S)
        confirmed = ".*ota: the update in slot b: confirmed"  # and not the 2.0.0 that was there
        board.wait_all(driver.READY, confirmed, timeout=BOOTS_S)
        board.reconnect()
        assert product.digest("b", four.size) == four.digest
        found = product.ota(board, "status", "--json").answer
        print(f"status: {json.dumps(found)}")
        boot, update = found["boot"], found["update"]
        assert isinstance(boot, dict) and isinstance(update, dict)
        assert (boot["slot"], boot["ustate"], boot["state"]) == ("b", "0", "nothing on trial")
        assert (update["slot"], update["outcome"], update["version"]) == ("b", "confirmed", "")
        print(f"all of it: {board.up_s:.0f} s")
