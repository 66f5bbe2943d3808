"""Which packages are in an image, what changed since an earlier one, and a document that says so.

They are known from what the image's package manager noted down, or from a software bill of materials
that whatever made the image left beside it.
"""

from __future__ import annotations

from pathlib import Path

from ota.errors import ConfigError
from packager.sbom import documents
from packager.sbom.changes import Change, Difference, difference
from packager.sbom.databases import Files, installed
from packager.sbom.package import Inventory, Package
from packager.sbom.spdx import MEMBER, Image, render

__all__ = [
    "MEMBER", "Change", "Difference", "Files", "Image", "Inventory", "Package", "difference", "installed",
    "read", "render",
]  # fmt: skip


def read(document: Path) -> Inventory:
    """The packages that an SPDX or CycloneDX document lists.

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
    return documents.parse(text, str(document))
