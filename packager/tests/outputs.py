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


def write(folder: Path, *, zck: int = 3000, seed: int = 1, record: Record | None = None) -> Path:
    """A whole output, without what is for people only; returns `folder`.

    Args:
        zck: size of the .zck, bytes.
        seed: other bytes with another one.
        record: default: that of `release`.
    """
    chance = random.Random(seed)
    contents = {f"publish/{ZCK}": zck, f"publish/{DELTA}": 1000, PACKAGE: 2000}
    for name, size in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(chance.randbytes(size))
    place = store.open(str(folder / "record"))
    catalogue.add(place, record or release(), {"rootfs": HEADER})
    names = [*contents, *(f"record/{name}" for name in place.names())]
    outputs = {name: {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()} for name in names}
    report = {"package": PACKAGE, "build": {"outputs": outputs}}
    (folder / "report.json").write_text(json.dumps(report))
    return folder
