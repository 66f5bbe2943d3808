"""What a handler is: it decides first what to do with an entry, and says what that will cost.

See docs/decisions/0002-jobs.md for why deciding and doing are apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ota.device import Device
from ota.formats.selection import Entry
from ota.interfaces import Cost, Reader
from ota.io.readers import Decompress


@dataclass(frozen=True, slots=True)
class Payload:
    """An artifact of the package that was proved; it may be opened again and is proved again."""

    size: int  # bytes, as stored in the archive
    open: Callable[[], Reader]


def plain(entry: Entry, payload: Payload, device: Device) -> Reader:
    """The artifact's bytes, decompressed as the entry says, within the device's memory."""
    if entry.compressed is None:
        return payload.open()
    return Decompress(payload.open(), entry.compressed, device.config.memory, str(entry.filename))


@dataclass(frozen=True, slots=True)
class Job:
    """One entry, decided.

    Attributes:
        cost: what `run` will take, as far as it can be foreseen.
        check: what may fail without a byte written fails here: the server's first answer, the base's digest.
        run: does it, proves it, and says what it took.
        close: lets go of what the others hold (connections, threads), done or not.
        memory: bytes that `run` takes at most, about, beside what is in use now.
    """

    cost: Cost
    check: Callable[[], None]
    run: Callable[[], Cost]
    close: Callable[[], None] = lambda: None
    memory: int = 0


class Handler(Protocol):
    """Installs entries of one `type`."""

    def __call__(self, entry: Entry, payload: Payload, device: Device, version: str, /) -> Job:
        """Decide; reads slots and payload, writes nothing.

        Args:
            version: of the software, for the record of what a slot holds.

        Raises:
            OtaError: the entry cannot be installed here.
        """
