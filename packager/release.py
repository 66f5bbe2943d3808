"""The release file: what a release is made of, read strictly. README.md of this folder shows one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota import board, settings
from ota.board import Board
from ota.errors import ConfigError
from ota.formats.description import MAX_TEXT
from ota.settings import Table
from packager import inputs, keys
from packager.builders import BUILDERS
from packager.interfaces import Image
from packager.keys import Signer

MAX_NAME: Final = 64  # characters; file names are made of two of them and stay far below 255

# What every file system, URL, object store and shell takes as it is.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a device's software."""

    name: str
    version: str
    description: str | None
    board: Board
    images: tuple[Image, ...]
    signer: Signer | None

    @property
    def package(self) -> str:
        """The archive's file name."""
        return f"{self.name}-{self.version}.swu"


def read(path: Path) -> Release:
    """Read a release file, and see that all files that it names are there.

    Raises:
        ConfigError: config-syntax, config-key, config-value, file-missing or release-content.
    """
    table = settings.read(path)
    for_board = _board(table)
    release = Release(
        name=_name(table, "name", for_board.name),
        version=_name(table, "version"),
        description=_description(table),
        board=for_board,
        images=tuple(_image(values) for values in table.tables("image")),
        signer=keys.read(table.table("sign")),
    )
    table.done()
    _check_images(path, release.images)
    return release


def _board(table: Table) -> Board:
    found = board.load(table.text("board"), table.path.parent)
    if not found.revisions:
        raise ConfigError(
            "config-value", f"board {found.name!r}: revisions", expected="at least one", found="none"
        )
    return found


def _name(table: Table, key: str, default: str | None = None) -> str:
    name = table.text(key, default)
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ConfigError(
            "config-value",
            f"{table.path}: {key} is wrong",
            expected=f"at most {MAX_NAME} of A-Z a-z 0-9 . _ -, a letter or digit first",
            found=repr(name),
        )
    return name


def _description(table: Table) -> str | None:
    text = table.optional_text("description")
    if text and len(text.encode()) > MAX_TEXT:
        raise ConfigError(
            "config-value",
            f"{table.path}: description is too long",
            expected=f"at most {MAX_TEXT} bytes",
            found=len(text.encode()),
        )
    return text


def _image(table: Table) -> Image:
    name, file, kind = _name(table, "name"), inputs.image(table, "file"), table.text("type")
    if kind not in BUILDERS:
        raise ConfigError(
            "config-value",
            f"{table.path}: type of image {name!r} is wrong",
            expected=" or ".join(BUILDERS),
            found=repr(kind),
        )
    image = Image(name, file, kind, BUILDERS[kind].read(table))
    table.done()
    return image


def _check_images(path: Path, images: tuple[Image, ...]) -> None:
    names = [image.name for image in images]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError("release-content", f"{path}: two images are named {name!r}")
    # Every image goes to the slot that does not run; a second one would overwrite the first.
    if len(images) != 1:
        raise ConfigError(
            "release-content",
            f"{path}: number of images",
            expected="one [[image]], because a board has one device for each slot",
            found=len(images),
        )
