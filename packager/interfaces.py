"""What a builder is, and the values that go into and come out of one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ota.board import Slot
from ota.formats.selection import Compression, Entry
from ota.formats.zchunk import Header
from ota.interfaces import Reader
from ota.settings import Table
from ota.trust.decryption import Key
from packager.choice import Candidate, Reason
from packager.limits import Limits

Properties = Mapping[str, str | list[str]]
Figures = Mapping[str, int | str]
"""What was measured of one artifact; sizes are bytes."""


@dataclass(frozen=True, slots=True)
class Image:
    """What becomes the payload of one entry of the release file."""

    name: str
    file: Path
    type: str  # the entry's type in the sw-description
    options: Any  # Any: only the builder that read them looks inside


@dataclass(frozen=True, slots=True)
class Base:
    """An image of an earlier release, as far as it is known."""

    version: str
    image: str  # its name
    size: int  # bytes
    sha256: str | None  # hex; None: all that is known is a .zck, and that is not decoded yet
    manifest: Header
    file: Path | None  # the image, or its .zck


@dataclass(frozen=True, slots=True)
class Refusal:
    """An earlier release that an image can have no delta from."""

    version: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Bases:
    """What there is of one image."""

    found: tuple[Base, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """Of all earlier releases that were asked for."""
        return (*(base.version for base in self.found), *(refusal.version for refusal in self.refused))


@dataclass(frozen=True, slots=True)
class BaseFile:
    """An earlier image itself."""

    path: Path
    size: int  # bytes
    sha256: str  # hex


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where builders write: folders that become the output only if the whole build succeeds."""

    members: Path  # of the archive
    publish: Path  # for the server
    scratch: Path  # gone afterwards
    version: str  # of the release
    bases: Mapping[str, Bases] = field(default_factory=dict)  # by name of the image
    limits: Limits = field(default_factory=Limits)
    threads: int = 1

    def published(self, image: Image, suffix: str) -> Path:
        """Where a file of an image lies. The version is in the name: a published file never changes."""
        return self.publish / f"{image.name}-{self.version}{suffix}"


@dataclass(frozen=True, slots=True)
class Delta:
    """An image that is delivered as a delta, and what that costs."""

    zck: str  # name of the published .zck
    header: Header  # of it: the image's manifest
    size: int  # bytes, of the image
    sha256: str  # of the image
    candidates: tuple[Candidate, ...] = ()
    bases: tuple[BaseFile, ...] = ()  # that published deltas were made from


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a builder made of an image."""

    member: str  # the name in the archive: the entry's `filename`
    file: Path  # its content
    properties: Callable[[Slot], Properties]  # of the entry, in the mode where that slot is the one that runs
    compressed: Compression | None = None
    bases: tuple[BaseFile, ...] = ()  # the earlier images that deltas were made from
    delta: Delta | None = None
    ivt: str | None = None  # hex; it is encrypted


@dataclass(frozen=True, slots=True)
class Companions:
    """What a package needs beside itself; what is not at hand is not checked."""

    publish: Path | None = None  # the folder that is to be served
    bases: tuple[BaseFile, ...] = ()  # earlier images
    key: Key | None = None  # of encrypted artifacts


class Builder(Protocol):
    """A builder is a module with these three functions."""

    def read(self, table: Table, /) -> object:
        """Its own keys of an entry, taken from the table; the result becomes `Image.options`."""

    def build(self, image: Image, workspace: Workspace, /) -> Artifact:
        """Write the artifact, and what is to be published."""

    def check(self, entry: Entry, payload: Reader, companions: Companions, /) -> Figures:
        """Prove a finished artifact, and measure it.

        Args:
            entry: of the parsed sw-description; the archive's member has its sha256.
            payload: the artifact, decrypted and decompressed.
            companions: further files to prove it with.
        """


class Measured:
    """A reader that counts and hashes what goes by."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """In hexadecimal, of what was read so far."""
        return self._hash.hexdigest()

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data
