"""What the catalogue keeps of a release: one JSON object, read strictly.

    schema       1; a higher number was written by a newer otapack
    product      the release file's `name`
    version
    boards       their names, in the order of the release file
    when         seconds since 1970: the time that the build states (SOURCE_DATE_EPOCH where it is set)
    commit       of the source, as the operator gave it; may be absent
    tools        program -> version, of all that decide about the bytes
    images       name -> what devices hold of it:
        size         bytes
        sha256
        target       where it goes: a device; absent: the slot that does not run
        manifest     absent where the image cannot be a base of a delta:
            file         name of the zchunk header, in the folder PRODUCT/VERSION
            sha256
        published    what devices may fetch, by name:
            file         its name in publish/
            method       zchunk, rdiff or full
            size         bytes
            base         rdiff: the version whose image it needs; else absent

Keys stand in this order, images and files in that of their names, all indented by two: the same release
gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, OtaError
from ota.settings import Table
from packager import inputs

SCHEMA: Final = 1
MAX_RECORD: Final = 1 << 20  # bytes; a release with a hundred images and as many bases has less

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_METHOD: Final = re.compile(r"zchunk|rdiff|full")
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")  # made of names (packager.inputs), so no path


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where the zchunk header of an image lies."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Published:
    """One file that devices may fetch to get an image."""

    file: str
    method: str
    size: int  # bytes
    base: str | None = None  # version


@dataclass(frozen=True, slots=True)
class Image:
    """What a release put into one place of a device."""

    size: int  # bytes
    sha256: str
    target: str | None = None  # None: the slot that does not run
    manifest: Manifest | None = None
    published: tuple[Published, ...] = ()

    @property
    def zck(self) -> str | None:
        """The name of its .zck in publish/."""
        return next((each.file for each in self.published if each.method == "zchunk"), None)


@dataclass(frozen=True, slots=True)
class Record:
    """One release."""

    product: str
    version: str
    boards: tuple[str, ...]
    when: int  # seconds since 1970
    images: Mapping[str, Image]
    commit: str | None = None
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the record, in a store."""
        return f"{self.product}/{self.version}.json"

    def manifest_name(self, image: str) -> str | None:
        """Of the manifest of an image, in a store."""
        manifest = self.images[image].manifest
        return f"{self.product}/{self.version}/{manifest.file}" if manifest else None

    def has_content_of(self, other: Record) -> bool:
        """Whether devices cannot tell the two apart, whenever and by whatever they were made."""
        mine, its = (
            (record.product, record.version, sorted(record.boards), {
                name: (image.size, image.sha256, image.target) for name, image in record.images.items()
            })
            for record in (self, other)
        )  # fmt: skip
        return mine == its


def render(record: Record) -> bytes:
    """As it is kept."""
    values = {
        "schema": SCHEMA,
        "product": record.product,
        "version": record.version,
        "boards": list(record.boards),
        "when": record.when,
        "commit": record.commit,
        "tools": dict(sorted(record.tools.items())),
        "images": {name: _image_json(image) for name, image in sorted(record.images.items())},
    }
    return (json.dumps(_stated(values), indent=2) + "\n").encode()


def parse(data: bytes, name: str, target: str) -> Record:
    """Read a record strictly.

    Args:
        name: under which it is kept; product and version have to fit.
        target: where it is kept, for messages.

    Raises:
        ConfigError: "catalogue-record".
    """
    try:
        record = _parse(data, name)
    except (OtaError, ValueError) as error:
        raise ConfigError("catalogue-record", f"{target}: the record {name} is damaged: {error}") from error
    if record.name != name:
        raise ConfigError(
            "catalogue-record",
            f"{target}: a record lies under a wrong name",
            expected=record.name,
            found=name,
        )
    return record


def _image_json(image: Image) -> dict[str, object]:
    return _stated({
        "size": image.size,
        "sha256": image.sha256,
        "target": image.target,
        "manifest": image.manifest and {"file": image.manifest.file, "sha256": image.manifest.sha256},
        "published": [
            _stated({"file": each.file, "method": each.method, "size": each.size, "base": each.base})
            for each in sorted(image.published, key=lambda each: each.file)
        ],
    })  # fmt: skip


def _stated(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def _parse(data: bytes, name: str) -> Record:
    if len(data) > MAX_RECORD:
        raise ValueError(f"it has {len(data)} bytes, more than {MAX_RECORD}")
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    table = Table(Path(name), values)
    if (schema := table.integer("schema")) != SCHEMA:
        raise ValueError(f"its schema is {schema}, and this otapack knows {SCHEMA}; a newer one may read it")
    record = Record(
        product=inputs.name(table, "product"),
        version=inputs.name(table, "version"),
        boards=table.texts("boards"),
        when=_count(table, "when"),
        commit=table.optional_text("commit"),
        tools=table.mapping("tools"),
        images={image: _image(found) for image, found in table.named_tables("images")},
    )
    table.done()
    return record


def _image(table: Table) -> Image:
    image = Image(
        size=_count(table, "size"),
        sha256=_text(table, "sha256", _SHA256),
        target=table.optional_text("target"),
        manifest=_manifest(table.table("manifest")),
        published=tuple(map(_published, table.tables("published"))),
    )
    table.done()
    return image


def _manifest(table: Table) -> Manifest | None:
    if table.is_empty:
        return None
    manifest = Manifest(_text(table, "file", _FILE), _text(table, "sha256", _SHA256))
    table.done()
    return manifest


def _published(table: Table) -> Published:
    published = Published(
        file=_text(table, "file", _FILE),
        method=_text(table, "method", _METHOD),
        size=_count(table, "size"),
        base=table.optional_text("base"),
    )
    table.done()
    return published


def _text(table: Table, key: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text := table.text(key)):
        raise ValueError(f"{key} is {text!r}")
    return text


def _count(table: Table, key: str) -> int:
    if (count := table.integer(key)) < 0:
        raise ValueError(f"{key} is {count}")
    return count
