"""Files of a server that are needed as a whole, kept in the state folder until they were used.

    <state>/spool/<sha256>.part   the beginning, as far as it came
    <state>/spool/<sha256>        the whole file, proved

What came stays when a transfer is cut: the next run asks for the rest. It is made durable each STEP bytes; of
what follows the last whole step a power cut may have left anything, so that is asked for again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ota.errors import TrustError
from ota.interfaces import Event, Progress, Range, RangeSource
from ota.io.durable import remove, sync_folder, translate

STEP: Final = 256 << 10  # bytes
RESERVE: Final = 1 << 20  # bytes that are left to all else that the agent keeps

_FOLDER: Final = "spool"


@dataclass(frozen=True, slots=True)
class Spool:
    """One file."""

    state_dir: Path
    size: int  # bytes
    sha256: str  # hex

    @property
    def path(self) -> Path:
        """Where the whole file lies."""
        return self.state_dir / _FOLDER / self.sha256

    @property
    def held(self) -> int:
        """Bytes that need not be fetched."""
        if self._is_whole():
            return self.size
        return min(_size(self._part), self.size - 1) // STEP * STEP

    def has_room(self) -> bool:
        """Whether the rest of it can be kept, and RESERVE besides."""
        try:
            status = os.statvfs(self.state_dir)
        except OSError:
            return False
        return status.f_bavail * status.f_frsize >= self.size - self.held + RESERVE

    def fetch(self, source: RangeSource, progress: Progress) -> None:
        """Fetch what is missing, and prove all of it.

        Raises:
            NetworkError: it cannot be had; what came is kept.
            TrustError: "digest-mismatch"; nothing is kept.
            DeviceError: "disk-full" or "state-unwritable"; nothing is kept.
        """
        if self._is_whole():
            return
        try:
            self._fetch(source, progress)
        except OSError as error:
            with suppress(OSError):  # the first error is the one to report
                self._part.unlink(missing_ok=True)
            raise translate(error, self.path) from error

    def open(self) -> BinaryIO:
        """The whole file, to be read.

        Raises:
            DeviceError: "state-unwritable".
        """
        try:
            return self.path.open("rb")
        except OSError as error:
            raise translate(error, self.path) from error

    def _fetch(self, source: RangeSource, progress: Progress) -> None:
        is_resumed = self.held > 0
        found = self._receive(source, progress)
        if is_resumed and found != self.sha256:  # what an earlier run left was not of this file
            self._part.unlink()
            found = self._receive(source, progress)
        if found != self.sha256:
            self._part.unlink()
            raise TrustError("digest-mismatch", "a file of the server", expected=self.sha256, found=found)
        self._part.replace(self.path)
        sync_folder(self.path.parent)

    def _receive(self, source: RangeSource, progress: Progress) -> str:
        """Complete the file; returns its sha256."""
        self._part.parent.mkdir(parents=True, exist_ok=True)
        done = self.held
        with self._part.open("ab+", buffering=0) as file:
            file.truncate(done)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256")
            for offset, data in source.fetch([Range(done, self.size)]):
                assert offset == done, "a single range comes in order"
                file.write(data)
                digest.update(data)
                done += len(data)
                if done // STEP > offset // STEP:
                    os.fdatasync(file.fileno())
                progress(Event("fetch", done, self.size))
            os.fsync(file.fileno())
        return digest.hexdigest()

    def _is_whole(self) -> bool:
        return _size(self.path) == self.size

    @property
    def _part(self) -> Path:
        return self.path.with_name(f"{self.sha256}.part")


def clean(state_dir: Path, kept: Collection[str] = ()) -> None:
    """Remove what was spooled, but for the files with these sha256.

    Raises:
        DeviceError: "state-unwritable".
    """
    folder = state_dir / _FOLDER
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.name.removesuffix(".part") not in kept:
                remove(path)


def _size(path: Path) -> int:
    """Bytes; 0 where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
