"""The image itself, compressed or as it is."""

from __future__ import annotations

from ota.settings import Table
from packager import compression
from packager.builders import stored
from packager.builders.stored import check
from packager.interfaces import Artifact, Image, Workspace

__all__ = ["build", "check", "read"]


def read(table: Table) -> compression.Setting:
    """`compressed` and `level`; compressed, where nothing is said."""
    return compression.read(table)


def build(image: Image, workspace: Workspace) -> Artifact:
    """As any file, under the name of an image."""
    return stored.store(image, f"{image.name}.img", image.options, workspace)
