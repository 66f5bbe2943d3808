"""One entry of a release file for every type, and what files they name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DIGEST: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_SCRIPT: Final = 'file = "run.sh"\ndata = "--first"'
_ARCHIVE: Final = """\
file = "tree.tar"
compressed = "zlib"
path = "/srv"
device = "/dev/mmcblk0p7"
filesystem = "ext4"
installed-directly = true
preserve-attributes = true
properties = { create-destination = "true" }"""
_COPY: Final = """\
device = "/dev/mmcblk0p9"
offset = "1M"
properties = { copyfrom = "/dev/mmcblk0p8", size = "detect", type = "preinstall" }"""

ENTRIES: Final = {
    "archive": ("image", _ARCHIVE),
    "bootloader": ("image", 'file = "env.txt"\nproperties = { nooverride = "true" }'),
    "copy": (
        "script",
        'path = "/srv"\n[script.properties]\ncopyfrom = "/etc"\nchain = "rawfile"\nrecursive = "true"',
    ),
    "delta": ("image", 'file = "v2.img"\nurl = "https://example.com/"\nproperties = { max-ranges = "10" }'),
    "diskformat": (
        "partition",
        'device = "/dev/mmcblk0p7"\nproperties = { fstype = "ext4", force = "true" }',
    ),
    "diskpart": (
        "partition",
        'device = "/dev/sdb"\n[partition.properties]\nlabeltype = "gpt"\n'
        'partition-1 = ["size=64M", "start=2048", "name=one", "type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"]\n'
        'partition-2 = ["size=3G", "name=two", "fstype=ext4"]',
    ),
    "dummy": ("script", 'file = "run.sh"'),
    "emmc_boot": (
        "script",
        'slots.a = { device = "/dev/mmcblk0boot0" }\nslots.b = { device = "/dev/mmcblk0boot1" }',
    ),
    "emmc_boot_toggle": ("script", 'device = "/dev/mmcblk0"'),
    "executor": ("image", 'file = "v2.img"\nproperties = { cmd = "/bin/cat", parms = "-" }'),
    "gptpart": ("image", 'file = "v2.img"\ndevice = "/dev/sdb"\nvolume = "one"\noffset = "1024"'),
    "gptswap": (
        "script",
        'device = "/dev/sdb"\n[script.properties]\nswap-0 = ["a", "b"]\nswap-1 = ["c", "d"]',
    ),
    "postinstall": ("script", _SCRIPT),
    "preinstall": ("script", _SCRIPT),
    "raw": ("image", 'file = "v2.img"\nlevel = 3\noffset = "3G"\nsize = true\ninstall-if-different = true'),
    "rawcopy": ("script", _COPY),
    "rawfile": (
        "file",
        'file = "empty"\npath = "/etc/motd"\nversion = "7.3"\ninstall-if-higher = true\n'
        'properties = { atomic-install = "true" }',
    ),
    "rdiff_file": ("file", 'file = "v2.img"\nbase = "v1.img"\nlevel = 3\npath = "/srv/data"'),
    "rdiff_image": ("image", 'file = "v2.img"\nbase = "v1.img"\nlevel = 3'),
    "readback": (
        "script",
        f'device = "/dev/sdb"\nproperties = {{ sha256 = "{DIGEST}", size = "5000000000" }}',
    ),
    "shellscript": ("script", _SCRIPT),
    "tar": ("file", _ARCHIVE),
    "toggleboot": ("script", 'device = "/dev/sdb"\nproperties = { partition = "1" }'),
    "uboot": ("image", 'file = "env.txt"'),
    "uniqueuuid": (
        "partition",
        f'device = "/dev/sdb"\nproperties = {{ fs-uuid = ["{DIGEST[:8]}", "1234-5678"] }}',
    ),
}
"""A type, the list that it stands in, and its other lines."""

KEY: Final = f"{DIGEST} {DIGEST[:32]}\n"


def entry(kind: str, *more: str) -> str:
    """The lines of the one entry."""
    key, lines = ENTRIES[kind]
    return "\n".join([f"[[{key}]]", f'name = "{kind}"', f'type = "{kind}"', *more, lines])


def write_files(folder: Path) -> None:
    """What the entries name, beside v1.img and v2.img."""
    (folder / "run.sh").write_text("#!/bin/sh\nexit 0\n")
    (folder / "tree.tar").write_bytes(bytes(10240))
    (folder / "env.txt").write_text("one=1\n")
    (folder / "empty").touch()
    (folder / "aes.key").write_text(KEY)
