"""The narrow waist: what the parts know of each other, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Protocol, runtime_checkable


class Reader(Protocol):
    """A stream that is pulled. Archive members, digest checks, decompression: readers that wrap readers."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end and only there."""


@runtime_checkable
class Patient(Protocol):
    """A Reader of something that may stay silent: a pipe, a connection."""

    def read(self, size: int, /) -> bytes:
        """As a Reader's; what is there, if less is there."""

    def is_ready(self, timeout_s: float, /) -> bool:
        """Whether `read` need not wait, within that time."""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Bytes `[start, stop)` of a file. Becomes HTTP's inclusive form only where the header is written."""

    start: int  # bytes
    stop: int  # bytes

    def __post_init__(self) -> None:
        assert 0 <= self.start < self.stop, (self.start, self.stop)

    def __len__(self) -> int:
        return self.stop - self.start


class BlockTarget(Protocol):
    """A slot, seen as bytes: a block device or a file. Also what seeds are read through."""

    @property
    def size(self) -> int:
        """Capacity in bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, or a DeviceError."""

    def scan(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes `[start, stop)` in order, from the medium where that can be had; or a DeviceError.

        Each view is valid until the next one is asked for.
        """

    def write_at(self, offset: int, data: bytes) -> None:
        """All of `data`, or a DeviceError. Durable only after `flush` or `sync`."""

    def zero(self, offset: int, length: int) -> None:
        """As `write_at` of so many zero bytes."""

    def flush(self) -> None:
        """Everything written so far is durable; a DeviceError if it is not."""

    def sync(self) -> None:
        """Everything written is durable, and the next read comes from the medium."""


class RangeSource(Protocol):
    """Where missing bytes come from. The caller proves every byte by digest."""

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) until every range was delivered once: any order, any split.

        Args:
            ranges: ascending and disjoint.

        Raises:
            NetworkError: what is still missing cannot be had.
        """


class Bootloader(Protocol):
    """The boot loader's environment."""

    def get(self, name: str) -> str | None:
        """A variable's value, None where it is not set."""

    def read(self) -> Mapping[str, str]:
        """All variables, at one look."""

    def apply(self, changes: Mapping[str, str | None]) -> None:
        """Set all of these variables (remove those that are None or empty), or none of them; read back."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an update takes, in bytes; foreseen by a plan or counted while it ran. Costs add up."""

    fetched_bytes: int = 0  # payload that came over the network
    requests: int = 0
    kept_bytes: int = 0  # of the image, already right in place
    copied_bytes: int = 0  # of the image, from a seed
    patched_bytes: int = 0  # of the image, from a seed and a delta
    zero_bytes: int = 0  # of the image, all zero
    written_bytes: int = 0  # into slots
    verified_bytes: int = 0  # read back from slots

    def __add__(self, other: Cost) -> Cost:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Cost(*(mine + its for mine, its in pairs))


@dataclass(frozen=True, slots=True)
class Event:
    """Progress: `done` of `total` bytes of a phase ("fetch", "copy", "verify", ...)."""

    phase: str
    done: int
    total: int


Progress = Callable[[Event], None]
"""Is told what happens; silence is `lambda event: None`."""
