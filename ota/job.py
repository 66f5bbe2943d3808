"""What a handler is: it decides first what to do with an entry, and says what that will cost.

See docs/decisions/0002-jobs.md for why deciding and doing are apart, docs/handlers.md for how to add one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ota.device import Device
from ota.errors import ConfigError
from ota.formats.alternatives import Method
from ota.formats.selection import Description, Entry, Section
from ota.interfaces import Cost, Reader
from ota.io.readers import BLOCK, Decompress, read_full
from ota.trust.decryption import Decrypt, Key, read_key


@dataclass(frozen=True, slots=True)
class Payload:
    """An artifact of the package that was proved; it may be opened again and is proved again."""

    size: int  # bytes, as stored in the archive
    open: Callable[[], Reader]


NO_PAYLOAD: Final = Payload(0, lambda: io.BytesIO())
"""Of an entry without `filename`."""


def plain(entry: Entry, payload: Payload, device: Device) -> Reader:
    """The artifact's bytes, decrypted and decompressed as the entry says, within the device's memory."""
    what = str(entry.filename)
    reader = payload.open()
    if entry.encrypted:
        key = _key(entry, device)
        reader = Decrypt(reader, key.key, key.iv, what)
    if entry.compressed:
        reader = Decompress(reader, entry.compressed, device.config.memory, what)
    return reader


def prove_start(entry: Entry, payload: Payload, device: Device) -> None:
    """Refuse an artifact that cannot be decrypted or decompressed, where its first block shows that."""
    if entry.encrypted or entry.compressed:
        read_full(plain(entry, payload, device), BLOCK)


def _key(entry: Entry, device: Device) -> Key:
    """The entry's own words, or else the device's."""
    file = device.config.decryption_key
    if file is None and not (entry.aes_key and entry.ivt):
        raise ConfigError(
            "config-key",
            f"{entry.filename} is encrypted, and this device has no key",
            expected="key in [decrypt]",
        )
    own = read_key(file) if file else None
    key = bytes.fromhex(entry.aes_key) if entry.aes_key else own and own.key
    iv = bytes.fromhex(entry.ivt) if entry.ivt else own and own.iv
    assert key and iv
    return Key(key, iv)


@dataclass(frozen=True, slots=True)
class Span:
    """What an entry writes; two entries of a package may not write the same."""

    path: Path  # a device or a file
    start: int = 0  # bytes
    stop: int | None = None  # bytes; None: to its end, or as far as `measure` says
    measure: Callable[[], int] | None = None  # bytes from `start` on; asked only where it matters


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Job:
    """One entry, decided. What a handler does not need it leaves out.

    Attributes:
        cost: what `run` will take, as far as it can be foreseen.
        check: what may fail without a byte written fails here: the server's first answer, the base's digest.
        run: does it, proves it, and says what it took.
        before: is called before anything is written, as a `preinst` script.
        after: is called when everything was written, as a `postinst` script.
        switch: is called directly before the commit point: what else decides what will boot.
        failed: is called when the update failed behind `before`, as a `postfailure` script.
        close: lets go of what the others hold (connections, threads), done or not.
        memory: bytes that `run` takes at most, about, beside what is in use now.
        writes: what nobody else in this package may write.
        changes: block devices that look different afterwards (partitions, file systems): entries
            that go there are decided when it is their turn.
        methods: how images come here, by file name; what had to be changed on the way is told afterwards.
        bootenv: variables for the boot loader, set at the commit point.
        overrides: whether they go before those of the sw-description and of the jobs before this one.
    """

    cost: Cost = field(default_factory=Cost)
    check: Callable[[], None] = _nothing
    run: Callable[[], Cost] = Cost
    before: Callable[[], None] = _nothing
    after: Callable[[], None] = _nothing
    switch: Callable[[], None] = _nothing
    failed: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing
    memory: int = 0
    writes: tuple[Span, ...] = ()
    changes: tuple[Path, ...] = ()
    methods: Mapping[str, Method] = field(default_factory=dict)
    bootenv: Mapping[str, str | None] = field(default_factory=dict)
    overrides: bool = True


class Handler(Protocol):
    """Installs entries of one `type`."""

    def __call__(self, entry: Entry, payload: Payload, device: Device, description: Description, /) -> Job:
        """Decide; reads slots and payload, writes nothing.

        Args:
            payload: NO_PAYLOAD where the entry has no `filename`.
            description: what the entry is part of.

        Raises:
            OtaError: the entry cannot be installed here.
        """


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of handlers: one `type`."""

    load: Callable[[], Handler]  # called when an update has such an entry: what it takes is loaded then
    sections: frozenset[Section]  # where its entries may stand
    has_data: bool = True  # its entries need a `filename`
