"""What a build leaves, made by hand in no time: for tests of where it goes."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from packager import catalogue, store
from packager.record import Image, Manifest, Published, Record

HEADER = b"a zchunk header, to whom it may concern"
PACKAGE = "gateway-2.0.0.swu"
ZCK = "rootfs-2.0.0.zck"
DELTA = "rootfs-2.0.0-from-1.0.0.rdiff.zst"


def release(version: str = "2.0.0", when: int = 1_700_000_000, content: str = "a") -> Record:
    """A record with all that one can have.

    Args:
        content: a hexadecimal digit; other content has another.
    """
    rootfs = Image(
        size=3 << 20,
        sha256=content * 64,
        manifest=Manifest("rootfs.zck-header", hashlib.sha256(HEADER).hexdigest()),
        published=(
            Published(f"rootfs-{version}-from-1.0.0.rdiff.zst", "rdiff", 1000, "1.0.0"),
            Published(f"rootfs-{version}.zck", "zchunk", 2 << 20),
        ),
    )
    kernel = Image(size=5 << 20, sha256="b" * 64, target="/dev/mmcblk0p5")
    return Record(
        product="gateway",
        version=version,
        boards=("demo",),
        when=when,
        commit="0123abcd",
        tools={"otakit": "0.1.0", "zstd": "1.5.5"},
        images={"rootfs": rootfs, "kernel": kernel},
    )


def write_record(folder: Path, of: Record) -> Path:
    """DIR/record; returns DIR."""
    catalogue.add(store.open(str(folder / "record")), of, {"rootfs": HEADER})
    return folder


def write(folder: Path, *, zck: int = 3000, seed: int = 1, content: str = "a") -> Path:
    """A whole output, without what is for people only; returns `folder`.

    Args:
        zck: size of the .zck, bytes.
        seed: other bytes with another one.
        content: of the record.
    """
    chance = random.Random(seed)
    (folder / "publish").mkdir(parents=True)
    (folder / "publish" / ZCK).write_bytes(chance.randbytes(zck))
    (folder / "publish" / DELTA).write_bytes(chance.randbytes(1000))
    package = chance.randbytes(2000)
    (folder / PACKAGE).write_bytes(package)
    report = {"package": PACKAGE, "size": 2000, "sha256": hashlib.sha256(package).hexdigest()}
    (folder / "report.json").write_text(json.dumps(report))
    return write_record(folder, release(content=content))
