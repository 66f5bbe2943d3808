"""A zchunk header in the package, the .zck on a server: devices fetch the chunks that they do not hold."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ota.errors import ConfigError, TrustError, UpdateError
from ota.formats import zchunk
from ota.formats.selection import Entry
from ota.interfaces import Reader
from ota.io.readers import read_full
from ota.native import zck as libzck
from ota.settings import Table
from packager import candidates, inputs, published
from packager.builders import alternatives, result
from packager.interfaces import Artifact, Bases, Companions, Delta, Figures, Image, Measured, Workspace

MAX_URL: Final = 2048  # bytes; stock SWUpdate has 32 KiB for URL and ranges of a request together

_PRINTABLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Options:
    """Of an image of this type."""

    url: str  # of the folder where the .zck will lie, with a slash at its end
    candidates: candidates.Settings


def read(table: Table) -> Options:
    """`url`, and what other methods are allowed."""
    url = table.text("url")
    if not _is_folder(url):
        raise ConfigError(
            "config-value",
            f"{table.path}: url of an image is wrong",
            expected="https://HOST/FOLDER/ or http://…, with neither password, '?' nor '#'",
            found=repr(url),
            hint="it is the address under which devices will reach the folder publish/",
        )
    return Options(url.rstrip("/") + "/", candidates.read(table))


def build(image: Image, workspace: Workspace) -> Artifact:
    """Write the files to be published, and the .zck's header as the archive's member."""
    options: Options = image.options
    zck = workspace.published(image, ".zck")
    with image.file.open("rb") as source, zck.open("wb+") as output, _spooling_in(workspace.members):
        measured = Measured(source)
        size = libzck.write(measured, output.fileno())
        output.seek(0)
        header = zchunk.parse_manifest(read_full(output, size))
    member = workspace.members / f"{image.name}.zck-header"
    member.write_bytes(header.data)
    bases = workspace.bases.get(image.name, Bases())
    plain = Delta(zck.name, header, measured.size, measured.sha256)
    delta = candidates.make(image, options.candidates, plain, bases, workspace)
    about = {
        "url": options.url + zck.name,
        "chain": "raw",
        "zckloglevel": "error",
        **result.properties(measured),
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


@contextmanager
def _spooling_in(folder: Path) -> Iterator[None]:
    """libzck spools all chunks in $TMPDIR; /tmp often is memory, and a .zck can be gigabytes."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
