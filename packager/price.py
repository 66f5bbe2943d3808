"""What an update costs a device and its server, by method: known before anybody downloads anything.

A price holds for a device whose running slot holds the base, whose other slot is blank, and whose server
answers requests for several ranges; `ota plan` on such a device says the same bytes and requests.

The class of CPU time counts passes over the image. Each is one sha256 of all its bytes:

    low     two: what is copied is proved, the result is read back
    medium  a third: the base is proved as a whole, or all is decompressed
    high    more; no method takes it today
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ota.errors import ConfigError
from ota.formats.alternatives import Method
from ota.formats.zchunk import Header
from ota.interfaces import Range
from ota.io import http
from ota.sync import footprint
from ota.sync import plan as planning
from ota.sync.plan import Action, Held

__all__ = ["Cpu", "Link", "Method", "Price", "file", "parse_link", "zchunk"]

_FIRST: Final = 3  # round trips until a file's first byte: TCP, TLS 1.3, the request
_RATES: Final = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
_LINK: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(bit|kbit|Mbit|Gbit),([0-9]+(?:\.[0-9]+)?)(ms|s)")


class Cpu(StrEnum):
    """How much processor time, as the module says."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Price:
    """Of one image, for a device with one base."""

    method: Method
    fetched_bytes: int  # beside the package
    requests: int
    memory_bytes: int  # of the whole agent on the device, as `limits.memory` counts it
    cpu: Cpu
    storage_bytes: int  # on the server; of a .zck once for all bases
    spool_bytes: int = 0  # on the device's state folder meanwhile


@dataclass(frozen=True, slots=True)
class Link:
    """A device's way to the server."""

    rate: float  # bits a second
    rtt_s: float

    def seconds(self, price: Price, package_bytes: int = 0) -> float:
        """How long the download takes: all bytes at that rate, and the round trips that nothing hides.

        Requests are made ahead, so only the first of each file waits.
        """
        round_trips = _FIRST * (bool(price.requests) + bool(package_bytes))
        return round((price.fetched_bytes + package_bytes) * 8 / self.rate + round_trips * self.rtt_s, 3)


def zchunk(header: Header, base: Header | None) -> Price:
    """What a device fetches by range, to the byte.

    Args:
        header: of the new image.
        base: of the image in the running slot; None: there is nothing to copy from.
    """
    plan = planning.make(header, Held([]), [base] if base else [])
    requests = list(http.divide(planning.ranges(header, plan.numbers(Action.FETCH))))
    return Price(
        Method.ZCHUNK,
        sum(_size(ranges) for ranges in requests),
        len(requests),
        footprint.AGENT + footprint.planned(plan),
        Cpu.LOW,
        header.file_size,
    )


def file(method: Method, size: int, window: int) -> Price:
    """What one compressed file costs: an rdiff delta, or the full image.

    Args:
        size: of the file, bytes.
        window: bytes that its decoder needs.
    """
    assert method is not Method.ZCHUNK, method
    spool = size if method is Method.RDIFF else 0
    memory = footprint.AGENT + footprint.streamed(window)
    return Price(method, size, 1, memory, Cpu.MEDIUM, size, spool)


def parse_link(text: str) -> Link:
    """Read "10Mbit,100ms": rate and round trip.

    Raises:
        ConfigError: "config-value".
    """
    match = _LINK.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ConfigError("config-value", "the link", expected="RATE,ROUNDTRIP: 10Mbit,100ms", found=text)
    return Link(float(match[1]) * _RATES[match[2]], float(match[3]) / (1000 if match[4] == "ms" else 1))


def _size(ranges: Sequence[Range]) -> int:
    return sum(map(len, ranges))
