"""Which packages are in an image, what changed since an earlier one, and a document that says so.

They are known from what the image's package manager noted down, or from a software bill of materials
that whatever made the image left beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ota.errors import ConfigError
from packager import filesystems
from packager.filesystems import File, FileSystem
from packager.sbom import documents
from packager.sbom.changes import Change, Difference, difference
from packager.sbom.databases import Files, installed
from packager.sbom.package import Inventory, Package
from packager.sbom.spdx import Image, render

__all__ = [
    "Change", "Difference", "Files", "Image", "Inventory", "Package", "difference", "installed",
    "of", "read", "render", "to_json",
]  # fmt: skip


def of(image: Path, document: Path | None = None) -> Inventory:
    """The packages in an image: what its document lists, or else what its package manager noted down.

    Where neither is there, or the file system cannot be read, the inventory says so.

    Raises:
        ConfigError: "file-missing", "sbom-format".
    """
    if document:
        return read(document)
    try:
        with filesystems.opened(image) as system:
            return installed(
                {file.path: partial(_content, system, file) for file in system.files if file.is_file}
            )
    except ConfigError as error:
        if error.code not in ("filesystem-unknown", "image-unreadable"):
            raise
        return Inventory((), (), (error.what,))


def to_json(inventory: Inventory, since: Mapping[str, Difference]) -> dict[str, object]:
    """What `report.json` says of an image.

    Args:
        inventory: of the image.
        since: version of an earlier release -> what changed.
    """
    return {
        "packages": len(inventory.packages),
        "lists": list(inventory.lists),
        "unread": list(inventory.unread),
        "since": {version: changes.to_json() for version, changes in since.items()},
    }


def read(document: Path, image: str | None = None) -> Inventory:
    """The packages that an SPDX or CycloneDX document lists.

    Args:
        document: the file.
        image: of a document of several images, the name of the one that counts.

    Raises:
        ConfigError: "file-missing", "sbom-format".
    """
    try:
        size = document.stat().st_size
        text = document.read_bytes() if size <= documents.MAX_SIZE else b""
    except OSError as error:
        raise ConfigError("file-missing", f"{document} cannot be read: {error.strerror}") from error
    if size > documents.MAX_SIZE:
        raise ConfigError(
            "sbom-format",
            f"{document} is too large",
            expected=f"<= {documents.MAX_SIZE} bytes",
            found=size,
        )
    return documents.parse(text, str(document), image)


def _content(system: FileSystem, file: File) -> bytes:
    return b"".join(system.content(file))
