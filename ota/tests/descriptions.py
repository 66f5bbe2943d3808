"""Descriptions to select from, and short ways to do it."""

from typing import Any

import pytest

from ota.errors import UpdateError
from ota.formats import description
from ota.formats.selection import Description, Entry, Selection, select

DIGEST = "0123456789ABCDEF" * 4

SINGLE_COPY = """
software = {
    version = "0.1.0";
    description = "one board, one place for everything";
    hardware-compatibility: [ "1.0", "1.3", "#RE:^2\\.[0-9]+$" ];
    partitions: ( { name = "data"; device = "mtd4"; size = 104896512; } );
    files: ( { filename = "config.tar"; path = "/etc"; compressed = "xz"; preserve-attributes = true; } );
    images: (
        { filename = "rootfs.ext4"; device = "/dev/vda2"; compressed = true; offset = "64K";
          sha256 = "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"; },
        { filename = "kernel"; name = "linux"; version = "6.1"; type = "flash";
          install-if-different = true; },
        { filename = "rootfs.ubifs"; volume = "rootfs"; size = "1MiB"; installed-directly = true; },
        { device = "/dev/vda9"; type = "raw"; }                                   /* no filename: skipped */
    );
    scripts: (
        { filename = "check.sh"; type = "shellscript"; data = "--fast"; install-if-higher = true; },
        { filename = "old.lua"; },
        { type = "toggleboot"; device = "/dev/vda"; properties: { partition = "2"; list = ("a", "b"); }; }
    );
    uboot: ( { name = "bootpart"; value = "0:2"; }, { name = "obsolete"; } );
    vars: ( { name = "tried"; value = "yes"; } );
    reboot = false;
    bootloader_transaction_marker = false;
};
"""

MULTI_COPY = """
software = {
    version = "2.0";
    hardware-compatibility: [ "any" ];
    stable: {
        copy-1: { images: ( { filename = "root"; device = "/dev/vda2"; } );
                  bootenv: ( { name = "slot"; value = "1"; } ); };
        copy-2: { images: ( { filename = "root"; device = "/dev/vda3"; } );
                  bootenv: ( { name = "slot"; value = "2"; } ); };
    };
    big: {
        version = "2.0-big";
        stable: {
            copy-1: { hardware-compatibility: [ "9" ];
                      images: ( { filename = "root"; device = "/dev/nvme0n1p2"; } ); };
        };
    };
    images: ( { filename = "root"; device = "/dev/root"; } );
};
"""

LINKED = """
software = {
    version = { ref = "#./common-version"; };
    common-version = "0.7-linked";
    hardware-compatibility = [ "any" ];
    board: {
        stable: {
            base: { images = { ref = "#./../shared"; }; };
            shared: (
                { filename = "one"; device = "/dev/1"; },
                { ref = "#./inner"; },
                { ref = "#/software/elsewhere/more"; },
                { filename = "five"; device = "/dev/5"; }
            );
            inner: { filename = "two"; device = "/dev/2"; };
            rev-a: { images: ( { filename = "a"; device = "/dev/a"; } ); };
            rev-b: { ref = "#./rev-a"; };
            rev-c: { ref = "#./base"; };
            rev-d: { ref = "#./../../elsewhere"; };
        };
    };
    elsewhere: {
        more: ( { filename = "three"; device = "/dev/3"; }, { ref = "#./last"; } );
        last: { filename = "four"; device = "/dev/4"; };
        images: ( { filename = "d"; device = "/dev/d"; } );
    };
};
"""


def tree_of(text: str) -> dict[str, Any]:
    return dict(description.parse(text.encode()))


def chosen(text: str, board: str = "", wanted: str | None = None, **options: Any) -> Description:
    return select(tree_of(text), board, Selection.parse(wanted) if wanted else None, **options)


def names(found: Description) -> list[str | None]:
    return [entry.filename for entry in found.entries]


def devices(found: Description) -> list[str | None]:
    return [entry.device for entry in found.entries]


def with_entry(**attributes: Any) -> dict[str, Any]:
    """A description of one image with these attributes; underscores stand for hyphens, None removes."""
    image = {"filename": "a.bin", "device": "/dev/vda2"}
    image |= {name.replace("_", "-"): value for name, value in attributes.items()}
    image = {name: value for name, value in image.items() if value is not None}
    return {"software": {"version": "1", "images": [image]}}


def entry_with(**attributes: Any) -> Entry:
    (entry,) = select(with_entry(**attributes), "", None).entries
    return entry


def refusal(tree: dict[str, Any], code: str = "description-content", **options: Any) -> UpdateError:
    with pytest.raises(UpdateError) as caught:
        select(tree, options.pop("board", ""), options.pop("selection", None), **options)
    assert caught.value.code == code
    return caught.value
