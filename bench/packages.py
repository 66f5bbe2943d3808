"""Packages of the benches: their .zck files are dear to make and kept, the .swu around them is made anew."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import lab
from lab import Lab

from ota.formats import cpio, description, selection
from packager import check, keys
from packager.keys import Signer

KEPT: Final = lab.BUILD / "bench-engine/zck"

# Other sources may give another .zck of the same image.
_MAKERS: Final = ("packager/zck.py", "ota/formats/zchunk.py", "packager/builders/delta.py")


def publish(device: Lab, images: dict[str, Path]) -> dict[str, Path]:
    """The .zck of each image, in the folder that the lab's server serves; made by `otapack` once."""
    with ThreadPoolExecutor() as pool:
        made = pool.map(_publish, [device] * len(images), images, images.values())
        return dict(zip(images, made, strict=True))


def _publish(device: Lab, name: str, image: Path) -> Path:
    published = device.publish / f"rootfs-{name}.zck"
    kept = KEPT / f"{_key(image)}.zck"
    if kept.exists():
        os.link(kept, published)
    else:
        device.build(name, image)
        KEPT.mkdir(parents=True, exist_ok=True)
        os.link(published, kept)
    return published


def _key(image: Path) -> str:
    digest = hashlib.sha256()
    for path in (*(lab.ROOT / maker for maker in _MAKERS), image):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def pack(device: Lab, name: str, header: bytes, url: str, **more: str) -> Path:
    """A signed package for slot b, of which all but the zchunk header lies at a URL.

    Args:
        more: further properties; `_` stands for `-`.
    """
    member, package = device.folder / f"{name}.zck-header", device.folder / f"{name}.swu"
    member.write_bytes(header)
    properties = {"url": url, "chain": "raw", "source": str(device.slots[0]), "zckloglevel": "error"}
    image = {
        "filename": member.name,
        "type": "delta",
        "device": str(device.slots[1]),
        "sha256": hashlib.sha256(header).hexdigest(),
        "properties": properties | {key.replace("_", "-"): value for key, value in more.items()},
    }
    mode = {"images": [image], "bootenv": [{"name": "boot_slot", "value": "b"}]}
    software = {"version": name, "hardware-compatibility": ["1.0"], "stable": {"copy-b": mode}}
    text = description.render({selection.ROOT: software})
    signer = Signer(device.folder / "keys" / keys.CERTIFICATE, device.folder / "keys" / keys.KEY)
    signature = keys.sign(text, signer, time=int(time.time()))
    with package.open("wb") as archive:
        cpio.write(archive, [(check.DESCRIPTION, text), (check.SIGNATURE, signature), (member.name, member)])
    return package
