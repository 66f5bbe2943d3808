"""What decides about the bytes of a build, beside the release file: libraries and their versions."""

from __future__ import annotations

import platform
import zlib
from importlib import metadata

import lz4
import zstandard


def versions() -> dict[str, str]:
    """By name; what a build of the same bytes needs again."""
    return {
        "otakit": metadata.version("otakit"),
        "python": platform.python_version(),
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "lz4": lz4.library_version_string(),
    }
