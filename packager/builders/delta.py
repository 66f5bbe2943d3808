"""A zchunk header in the package, the .zck on a server: devices fetch the chunks that they do not hold."""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass
from typing import BinaryIO, Final

from ota.errors import ConfigError, TrustError, UpdateError
from ota.formats import zchunk
from ota.formats.selection import Entry
from ota.interfaces import Reader
from ota.io.readers import read_full
from ota.settings import Table
from packager import candidates, inputs, published, zck
from packager.builders import alternatives, result
from packager.interfaces import Artifact, Bases, Companions, Delta, Figures, Image, Workspace

MAX_URL: Final = 2048  # bytes; stock SWUpdate has 32 KiB for URL and ranges of a request together

_PRINTABLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Options:
    """Of an image of this type."""

    url: str  # of the folder where the .zck will lie, with a slash at its end
    level: int  # of zck.LEVELS
    candidates: candidates.Settings


def read(table: Table) -> Options:
    """`url`, `level`, and what other methods are allowed."""
    url, level = table.text("url"), table.integer("level", zck.LEVEL)
    if not _is_folder(url):
        raise ConfigError(
            "config-value",
            f"{table.path}: url of an image is wrong",
            expected="https://HOST/FOLDER/ or http://…, with neither password, '?' nor '#'",
            found=repr(url),
            hint="it is the address under which devices will reach the folder publish/",
        )
    if level not in zck.LEVELS:
        raise ConfigError(
            "config-value",
            f"{table.path}: level of an image is wrong",
            expected=f"{zck.LEVELS[0]} to {zck.LEVELS[-1]}, as zstd's",
            found=level,
        )
    return Options(url.rstrip("/") + "/", level, candidates.read(table))


def build(image: Image, workspace: Workspace) -> Artifact:
    """Write the files to be published, and the .zck's header as the archive's member."""
    options: Options = image.options
    file = workspace.published(image, ".zck")
    written = zck.write(image.file, file, level=options.level, threads=workspace.threads)
    member = workspace.members / f"{image.name}.zck-header"
    member.write_bytes(written.header.data)
    bases = workspace.bases.get(image.name, Bases())
    plain = Delta(file.name, written.header, written.size, written.sha256)
    delta = candidates.make(image, options.candidates, plain, bases, workspace)
    about = {
        "url": options.url + file.name,
        "chain": "raw",
        "zckloglevel": "error",
        **result.properties(written),
        **alternatives.properties(delta),
    }
    return Artifact(
        member.name, member, lambda other: {**about, "source": other.device}, bases=delta.bases, delta=delta
    )


def check(entry: Entry, payload: Reader, companions: Companions) -> Figures:
    """It is a manifest; and where the .zck is at hand, that one has this header and gives the image."""
    header = zchunk.parse_manifest(_only_a_header(entry, payload))
    expected_size = entry.property("image-size")
    if expected_size not in (None, str(header.image_size)):
        raise UpdateError(
            "result-mismatch",
            f"{entry.filename}: image-size",
            expected=expected_size,
            found=header.image_size,
        )
    figures: dict[str, int | str] = {
        "image_size": header.image_size,
        "header_size": len(header.data),
        "zck_size": header.file_size,
        "chunks": len(header),
        "unique_chunks": len({header.digest(number) for number in range(len(header))}),
    }
    if companions.publish is None:
        return figures
    path = companions.publish / urllib.parse.urlsplit(entry.property("url") or "").path.rpartition("/")[2]
    inputs.existing(path, f"the .zck of {entry.filename}")
    with path.open("rb") as file, published.naming(path):
        _check_head(file, header)
        figures |= {**result.check(entry, published.image(file, header)), "zck": path.name}
    return {**figures, **alternatives.check(entry, companions)}


def _is_folder(url: str) -> bool:
    """Whether a file's name can be appended: nothing may follow the path, and a password would be public."""
    if len(url) > MAX_URL or not _PRINTABLE.fullmatch(url) or set("?#@") & set(url):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the host or port
        return False


def _only_a_header(entry: Entry, payload: Reader) -> bytes:
    data = read_full(payload, zchunk.MAX_HEADER + 1)
    size = len(zchunk.parse(data).data)
    if size != len(data):
        raise UpdateError(
            "header-format",
            f"{entry.filename} goes on behind the zchunk header",
            expected=size,
            found=len(data),
        )
    return data


def _check_head(file: BinaryIO, header: zchunk.Header) -> None:
    """What is served has to start with the very header that is signed: its ranges count from there."""
    # A detached header, which other tools may put into a package, differs in its magic.
    if read_full(file, len(header.data)) != zchunk.MAGIC + header.data[len(zchunk.MAGIC) :]:
        raise TrustError("digest-mismatch", "its head is not the header in the package")
    size = os.fstat(file.fileno()).st_size
    if size != header.file_size:
        raise TrustError("digest-mismatch", "its length", expected=header.file_size, found=size)
