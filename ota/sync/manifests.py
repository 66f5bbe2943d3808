"""What each slot holds, as far as the agent knows: its manifest and a record, kept in the state folder.

    <state>/slots/<slot>.zck-header          manifest of what the slot holds, proved when it was stored
    <state>/slots/<slot>.json                record: version, when, sha256 of that manifest
    <state>/slots/<slot>.pending.zck-header  manifest of what is being written: the slot is not whole

The pending manifest is durable before the first byte is written and becomes the slot's manifest after
the last one was proved. So after a power cut it tells what may be there already.
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

    def begin(self, slot: str, header: zchunk.Header) -> None:
        """Durably note that the slot is about to become this, before its first byte is written."""
        replace(self._pending(slot), header.data)
        remove(self._record(slot))
        remove(self._path(slot))

    def forget(self, slot: str) -> None:
        """Durably note that what the slot holds is about to become unknown."""
        for path in (self._record(slot), self._path(slot), self._pending(slot)):
            remove(path)

    def commit(self, slot: str, header: zchunk.Header, version: str, url: str) -> None:
        """Durably note that the slot was proved to hold this."""
        record = Record(
            version=version,
            since=int(time.time()),
            manifest_sha256=hashlib.sha256(header.data).hexdigest(),
            image_size=header.image_size,
            url=url,
        )
        replace(self._path(slot), header.data)
        replace(self._record(slot), json.dumps(asdict(record)).encode())
        remove(self._pending(slot))

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
