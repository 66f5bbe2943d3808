"""An rdiff delta from one earlier version of a file; devices patch the file that lies at `path`."""

from packager.builders.rdiff_image import check, read
from packager.builders.rdiff_image import make as build

__all__ = ["build", "check", "read"]
