"""Packages that swugenerator makes: it adds sha256 to each file, and compresses where that is asked for."""

from __future__ import annotations

from typing import Final

from ota.tests.conformance.case import DATA, DISK, FOLDER, SLOT, TEXT, Case, Rest
from ota.tests.conformance.order import script


def _made(name: str, text: str, **rest: Rest) -> Case:
    return Case("swugenerator", name, text, generator=True, **rest)


_IMAGE: Final = f'{{ filename = "a"; type = "raw"; device = "{SLOT}"; %s }}'

GENERATED: Final = (
    _made("an image", f"images: ( {_IMAGE % ''} );"),
    _made("an image, zlib", "images: ( " + _IMAGE % 'compressed = "zlib";' + " );", members={"a": TEXT}),
    _made("two images and a variable",
          f'images: ( {_IMAGE % ""}, {_IMAGE % "offset = 1048576;"} ); bootenv: ( {{ name = "found"; value = "x"; }} );'),
    _made("a file and a script",
          'files: ( { filename = "a"; path = "/mnt/etc/new"; } ); scripts: ( { filename = "s"; type = "shellscript"; } );',
          members={"a": DATA, "s": script("s")}, changes=(FOLDER,)),
    _made("board, set and mode",
          f"demo = {{ stable = {{ copy-b = {{ images: ( {_IMAGE % ''} ); }}; }}; }};",
          options=("--select", "stable,copy-b"), changes=(DISK,)),
)  # fmt: skip
