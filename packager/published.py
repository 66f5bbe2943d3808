"""A .zck as it lies in publish/: its header, and the image that it gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ota.errors import ConfigError, OtaError
from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.io.readers import read_full
from packager.interfaces import Base, BaseFile


def is_zck(path: Path) -> bool:
    """Whether a file is a .zck, and no image."""
    with path.open("rb") as file:
        return file.read(len(zchunk.MAGIC)) == zchunk.MAGIC


def manifest(path: Path) -> Header:
    """The header of a .zck, which is the manifest of slots that hold its image.

    Raises:
        UpdateError: header-format or header-unsupported.
    """
    with path.open("rb") as file, naming(path):
        return zchunk.parse_manifest(read_full(file, zchunk.MAX_HEADER))


def image(file: BinaryIO, header: Header) -> Iterator[bytes]:
    """The image that a .zck gives, each chunk proved.

    Raises:
        TrustError: digest-mismatch.
    """
    decoder = zchunk.Decoder(header)
    for chunk in header:
        file.seek(chunk.start)
        yield decoder.decode(chunk, read_full(file, chunk.stop - chunk.start))


def at_hand(base: Base, scratch: Path) -> BaseFile:
    """The image of a base, decoded into `scratch` where all there is is a .zck.

    Raises:
        ConfigError: release-content: it is another one than its record tells.
        TrustError: digest-mismatch.
    """
    assert base.file, base
    if base.sha256 and not is_zck(base.file):
        return BaseFile(base.file, base.size, base.sha256)
    path = scratch / f"{base.image}-{base.version}"
    digest = hashlib.sha256()
    with base.file.open("rb") as source, path.open("wb") as output, naming(base.file):
        for piece in image(source, base.manifest):
            digest.update(piece)
            output.write(piece)
    if base.sha256 not in (None, digest.hexdigest()):
        raise ConfigError(
            "release-content",
            f"{base.file} gives another image than the record of {base.version} tells",
            expected=base.sha256,
            found=digest.hexdigest(),
        )
    return BaseFile(path, base.size, digest.hexdigest())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Says in which file it was."""
    try:
        yield
    except OtaError as error:
        raise type(error)(
            error.code,
            f"{path.name}: {error.what}",
            expected=error.expected,
            found=error.found,
            hint=error.hint,
        ) from error
