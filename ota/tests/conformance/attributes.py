"""Attributes of one element (sw-description.rst, "Attribute reference")."""

from __future__ import annotations

from typing import Final

from ota.tests.conformance.case import Case, image, images

ATTRIBUTES: Final = (
    Case("raw", "no offset", images(image())),
    Case("raw", "offset as a number", images(image("offset = 4096;"))),
)
