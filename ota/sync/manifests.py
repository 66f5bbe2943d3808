"""What each slot holds, as far as the agent knows: its manifest and a record, kept in the state folder.

    <state>/slots/<slot>.zck-header          manifest of what the slot holds, or held before an update began
    <state>/slots/<slot>.json                record: version, when, sha256 of that manifest
    <state>/slots/<slot>.pending.zck-header  manifest of what is being written: the slot is not whole

While the pending manifest is there, every chunk that the slot holds stands in one of the two manifests, at
its offset: what was written in the pending one, what was there before in the other. So after a power cut
one look at the slot tells what is left, without a journal. That holds between any two durable steps:

    begin    the pending manifest is durable before the first byte is written.
    begin, where an update had stopped half way:
             the slot's manifest is replaced by one of what was proved to be there, out of both; with it alone
             nothing is lost. Then the pending manifest is replaced by the new one.
    commit   the slot's manifest is replaced after the last byte was proved: both say the same. Then the
             record, of that manifest only; then the pending manifest goes, and the slot counts as whole.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ota.errors import OtaError
from ota.formats import zchunk
from ota.io.durable import remove, replace


@dataclass(frozen=True, slots=True)
class Record:
    """What is said of a slot's content."""

    version: str
    since: int  # seconds since 1970
    manifest_sha256: str
    image_size: int  # bytes
    url: str  # of the published .zck, for repairs; empty where unknown


class Manifests:
    """The manifests of all slots, below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "slots"

    def get(self, slot: str) -> zchunk.Header | None:
        """The manifest of what the slot holds; None where unknown or half written."""
        return None if self._pending(slot).exists() else _read(self._path(slot))

    def pending(self, slot: str) -> zchunk.Header | None:
        """The manifest of what was being written when the last update of the slot stopped."""
        return _read(self._pending(slot))

    def remains(self, slot: str) -> list[zchunk.Header]:
        """What a half-written slot may hold chunks of: what it was to become, then what it was before."""
        if not self._pending(slot).exists():
            return []
        return [header for header in (self.pending(slot), _read(self._path(slot))) if header]

    def record(self, slot: str) -> Record | None:
        """What was stored with the slot's manifest; None without one."""
        header = self.get(slot)
        try:
            record = Record(**json.loads(self._record(slot).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        if header is None or hashlib.sha256(header.data).hexdigest() != record.manifest_sha256:
            return None
        return record

    def begin(self, slot: str, header: zchunk.Header, before: zchunk.Header | None = None) -> None:
        """Durably note that the slot is about to become this, before its first byte is written.

        Args:
            before: what the slot was proved to hold, where that is not what its manifest says.
        """
        if before:
            replace(self._path(slot), before.data)
        replace(self._pending(slot), header.data)

    def learn(self, slot: str, header: zchunk.Header) -> None:
        """Keep what was found in a slot by reading it; if an update began meanwhile, it is but a hint."""
        self._store(slot, header, version="", url="")

    def forget(self, slot: str) -> None:
        """Durably note that what the slot holds is about to become unknown."""
        for path in (self._record(slot), self._path(slot), self._pending(slot)):
            remove(path)

    def commit(self, slot: str, header: zchunk.Header, version: str, url: str) -> None:
        """Durably note that the slot was proved to hold this."""
        self._store(slot, header, version, url)
        remove(self._pending(slot))

    def _store(self, slot: str, header: zchunk.Header, version: str, url: str) -> None:
        record = Record(
            version=version,
            since=int(time.time()),
            manifest_sha256=hashlib.sha256(header.data).hexdigest(),
            image_size=header.image_size,
            url=url,
        )
        replace(self._path(slot), header.data)
        replace(self._record(slot), json.dumps(asdict(record)).encode())

    def _path(self, slot: str) -> Path:
        return self._folder / f"{slot}.zck-header"

    def _pending(self, slot: str) -> Path:
        return self._folder / f"{slot}.pending.zck-header"

    def _record(self, slot: str) -> Path:
        return self._folder / f"{slot}.json"


def _read(path: Path) -> zchunk.Header | None:
    try:
        return zchunk.parse_manifest(path.read_bytes())
    except (OSError, OtaError):
        # A manifest that cannot be read is one that is not known: the slot is indexed or fetched.
        return None
