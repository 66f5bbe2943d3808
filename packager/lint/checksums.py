"""The checksums of file systems: with the seed as it is, and without the inversion at the end."""

from __future__ import annotations

from typing import Final

import google_crc32c

ALL_ONES: Final = 0xFFFFFFFF


def crc32c(seed: int, data: bytes) -> int:
    """Castagnoli's."""
    extended: int = google_crc32c.extend(seed ^ ALL_ONES, data)
    return extended ^ ALL_ONES


def crc16(seed: int, data: bytes) -> int:
    """Polynomial 0x8005, the lowest bit first."""
    for byte in data:
        seed ^= byte
        for _ in range(8):
            seed = seed >> 1 ^ (0xA001 if seed & 1 else 0)
    return seed
