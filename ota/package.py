"""A .swu archive on its way in: what is signed is proved before anything else is believed.

The order of its members is SWUpdate's: sw-description, its signature, then the files
(swupdate: doc/source/swupdate.rst, "Images streaming"; core/stream_interface.c). A package in a file is
read in place; one that comes through a pipe or from a server is kept in an unnamed file of the state
folder, so that every artifact is proved before a slot is written.
"""

from __future__ import annotations

import hashlib
import os
import select
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ota.errors import ConfigError, TrustError, UpdateError
from ota.formats import cpio, description
from ota.formats.description import Tree
from ota.formats.selection import Entry
from ota.interfaces import Event, Progress, Reader
from ota.io.durable import translate
from ota.io.readers import Digest, blocks, read_full
from ota.job import Payload
from ota.trust import signature
from ota.trust.signature import Trust

DESCRIPTION: Final = "sw-description"
SIGNATURE: Final = "sw-description.sig"


@dataclass(frozen=True, slots=True)
class Signed:
    """What the signature covers."""

    tree: Tree
    signer: str
    digest: str  # sha256 of the sw-description: which package this is


class Package:
    """One archive, read once from the front.

    Args:
        stream: the archive.
        state_dir: where members are kept if `stream` cannot be read a second time.
    """

    def __init__(self, stream: Reader, state_dir: Path) -> None:
        self._members = cpio.members(stream)
        self._file = stream if isinstance(stream, _File) else None
        self._state_dir = state_dir

    def close(self) -> None:
        """Let go of a package in a file; its members can no longer be read."""
        if self._file is not None:
            self._file.close()

    def read_description(self, trust: Trust) -> Signed:
        """Read and prove the sw-description.

        Raises:
            UpdateError: "member-order" and everything that `cpio` and `description` refuse.
            TrustError: "signature-missing", "signature-invalid".
        """
        text = self._next(DESCRIPTION, description.MAX_SIZE)
        if text is None:
            raise UpdateError("member-order", "the archive's first member is another", expected=DESCRIPTION)
        signed = self._next(SIGNATURE, signature.MAX_SIGNATURE)
        if signed is None:
            raise TrustError(
                "signature-missing", "the sw-description's signature does not follow it", expected=SIGNATURE
            )
        signer = signature.verify(text, signed, trust)
        return Signed(description.parse(text), signer, hashlib.sha256(text).hexdigest())

    def stage(self, entries: Sequence[Entry], progress: Progress) -> Mapping[str, Payload]:
        """Prove every artifact that these entries need, and read the archive to its end.

        Raises:
            UpdateError: "member-missing", "member-doubled", "member-size" and what `cpio` refuses.
            TrustError: "digest-missing", "digest-mismatch".
            DeviceError: "disk-full".
        """
        wanted = _digests(entries)
        staged: dict[str, Payload] = {}
        for member, payload in self._members:
            if member.name in staged:
                raise UpdateError("member-doubled", f"{member.name!r} stands in the archive twice")
            if member.name in wanted:
                proved = Digest(payload, wanted[member.name], f"{member.name!r}")
                staged[member.name] = self._keep(member, proved, progress)
        for name in wanted:
            if name not in staged:
                raise UpdateError("member-missing", f"{name!r} is not in the archive")
        return staged

    def _next(self, name: str, limit: int) -> bytes | None:
        """The next member's data; None where it is another, or there is none."""
        member, payload = next(self._members, (None, None))
        if member is None or payload is None or member.name != name:
            return None
        if member.size > limit:
            raise UpdateError("member-size", name, expected=f"<= {limit} bytes", found=member.size)
        return read_full(payload, member.size)

    def _keep(self, member: cpio.Member, payload: Digest, progress: Progress) -> Payload:
        done = 0

        def told() -> Iterator[bytes]:
            nonlocal done
            for block in blocks(payload):
                done += len(block)
                progress(Event("package", done, member.size))
                yield block

        if self._file is not None:
            for _ in told():
                pass
            return self._file.section(member, payload.expected)
        try:
            spool = tempfile.TemporaryFile(dir=self._state_dir)  # noqa: SIM115 it lives as long as the payload
            spool.writelines(told())
            spool.flush()
        except OSError as error:
            raise translate(error, self._state_dir / "package") from error
        return _section(spool, 0, member, payload.expected)


def open_package(path: Path) -> Reader:
    """A package in a file, or what comes through a pipe of that name.

    Raises:
        ConfigError: "file-missing".
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(str(path), error) from error
    return _File(file) if file.seekable() else Pipe(file)


class Pipe:
    """What is read once, and may stay silent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file  # whose buffer is not used

    def read(self, size: int, /) -> bytes:
        try:
            return os.read(self._file.fileno(), size)
        except OSError as error:
            raise _unreadable(self._file.name, error) from error

    def is_ready(self, timeout_s: float, /) -> bool:
        return bool(select.select([self._file], [], [], max(0.0, timeout_s))[0])


class _File:
    """A file that is read from the front, and once more in sections."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise _unreadable(self._file.name, error) from error

    def close(self) -> None:
        self._file.close()

    def section(self, member: cpio.Member, digest: str) -> Payload:
        return _section(self._file, member.offset, member, digest)


def _unreadable(name: str, error: OSError) -> ConfigError:
    return ConfigError("file-missing", f"{name} cannot be read: {error.strerror}")


def _section(file: BinaryIO, offset: int, member: cpio.Member, digest: str) -> Payload:
    """Part of a file, proved again as it is read: it may have changed meanwhile."""
    return Payload(
        member.size, lambda: Digest(_Section(file, offset, offset + member.size), digest, f"{member.name!r}")
    )


class _Section:
    """Bytes `[offset, stop)` of an open file; does not move the file's own position."""

    def __init__(self, file: BinaryIO, offset: int, stop: int) -> None:
        self._file = file
        self._offset = offset
        self._stop = stop

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._file.fileno(), min(size, self._stop - self._offset), self._offset)
        self._offset += len(data)
        return data


def _digests(entries: Sequence[Entry]) -> dict[str, str]:
    """File name -> the sha256 that the signed description gives it."""
    digests: dict[str, str] = {}
    for entry in entries:
        if entry.filename is None:
            continue
        if entry.sha256 is None:
            raise TrustError("digest-missing", f"{entry.filename!r} has no sha256 in the sw-description")
        if digests.setdefault(entry.filename, entry.sha256) != entry.sha256:
            raise UpdateError(
                "description-content",
                f"{entry.filename!r} has two different sha256",
                expected=digests[entry.filename],
                found=entry.sha256,
            )
    return digests
