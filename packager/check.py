"""Read a package back: is it whole, signed, what it says, and installable, here and by stock SWUpdate?

In this order: the container; the signature; the sha256 of every artifact; only then is an artifact itself
looked into. A build ends with this, so what `otapack build` leaves behind has passed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ota.errors import ConfigError, TrustError, UpdateError
from ota.formats import cpio, description
from ota.formats.selection import ROOT, Entry, Section
from ota.interfaces import Reader
from ota.io.readers import Decompress, blocks, read_full
from ota.trust import signature as trusted
from ota.trust.decryption import Decrypt, Key
from ota.trust.signature import Trust
from packager import choices, packages, types
from packager.contents import Choice, Contents, Measurement, Stored
from packager.interfaces import Companions, Figures, Measured
from packager.types import TYPES

DESCRIPTION: Final = "sw-description"
SIGNATURE: Final = "sw-description.sig"

MEMORY: Final = 1 << 27  # bytes a decompressor may take; the window that stock SWUpdate's zstd stops at

_ALONE: Final = Companions()


def inspect(path: Path, companions: Companions = _ALONE) -> Contents:
    """What is in a package, whoever signed it, if anybody did.

    Raises:
        ConfigError, UpdateError, TrustError: it cannot be read, or it is not whole.
    """
    return _read(path, None, companions)


def verify(path: Path, trust: Trust, companions: Companions) -> Contents:
    """What is in a package that someone trusted signed and that can be installed.

    Args:
        path: the package.
        trust: whose signature is accepted.
        companions: the published files and rdiff bases, as far as they are to be checked too.

    Raises:
        ConfigError, UpdateError, TrustError: the first thing that is wrong with it.
    """
    contents = _read(path, trust, companions)
    for choice in contents.choices:
        _check_installable(choice)
    return contents


@dataclass(frozen=True, slots=True)
class _Container:
    size: int  # bytes
    sha256: str
    description: bytes
    signature: bytes | None
    members: tuple[Stored, ...]


def _read(path: Path, trust: Trust | None, companions: Companions) -> Contents:
    with _open(path) as file:
        container = _container(file)
    signer = None
    if trust is not None:
        if container.signature is None:
            raise TrustError("signature-missing", f"{path} is not signed", expected=f"a member {SIGNATURE}")
        signer = trusted.verify(container.description, container.signature, trust)
    _check_document(container)
    found = tuple(choices.choices(description.parse(container.description)))
    artifacts = _artifacts(found, container)
    with _open(path) as file:
        measurements = tuple(_measure(file, artifacts, companions))
    return Contents(
        file=path.name,
        size=container.size,
        sha256=container.sha256,
        is_signed=container.signature is not None,
        signer=signer,
        members=container.members,
        artifacts=measurements,
        choices=found,
    )


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error


def _container(file: BinaryIO) -> _Container:
    """Read the archive once, to the end of the file."""
    archive = Measured(file)
    members: list[Stored] = []
    contents: dict[str, bytes] = {}
    for member, reader in cpio.members(archive):
        measured = Measured(reader)
        position = len(members)
        if (position == 0) != (member.name == DESCRIPTION) or (member.name == SIGNATURE and position != 1):
            raise UpdateError(
                "member-order",
                f"member {position + 1}",
                expected=f"{DESCRIPTION}, {SIGNATURE}, then the others",
                found=member.name,
            )
        if member.name == DESCRIPTION:
            contents[member.name] = read_full(measured, description.MAX_SIZE + 1)
        if member.name == SIGNATURE:
            contents[member.name] = read_full(measured, trusted.MAX_SIGNATURE + 1)
        _exhaust(measured)
        members.append(Stored(member.name, member.size, measured.sha256))
    _exhaust(archive)
    if not members:
        raise UpdateError("member-order", "the archive is empty", expected=DESCRIPTION)
    return _Container(
        archive.size, archive.sha256, contents[DESCRIPTION], contents.get(SIGNATURE), tuple(members)
    )


def _check_document(container: _Container) -> None:
    """The list of packages, where there is one: the sw-description names its sha256."""
    software = description.parse(container.description).get(ROOT)
    stated = software.get(packages.ATTRIBUTE) if isinstance(software, dict) else None
    if stated is None:
        return
    held = [member.sha256 for member in container.members if member.name == packages.MEMBER]
    if held != [stated]:
        raise TrustError(
            "digest-mismatch", f"member {packages.MEMBER}", expected=stated, found=", ".join(held) or "none"
        )


def _artifacts(found: tuple[Choice, ...], container: _Container) -> dict[str, Entry]:
    """The first entry of each artifact; all of them name the same member and its sha256."""
    stored: dict[str, list[Stored]] = {}
    for member in container.members:
        stored.setdefault(member.name, []).append(member)
    artifacts: dict[str, Entry] = {}
    for entry in (entry for choice in found for entry in choice.description.entries):
        if entry.filename is None:
            continue
        held = stored.get(entry.filename, [])
        if len(held) != 1:
            code = "member-doubled" if held else "member-missing"
            raise UpdateError(code, f"member {entry.filename}", expected="one", found=len(held))
        # Of a package that nobody signed, a device without signatures asks for none either.
        if entry.sha256 is None and container.signature is not None:
            raise TrustError("digest-missing", f"{entry.filename} has no sha256 in the sw-description")
        _check_member(entry, held[0])
        artifacts.setdefault(entry.filename, entry)
    return artifacts


def _check_member(entry: Entry, member: Stored) -> None:
    if entry.sha256 not in (None, member.sha256):
        raise TrustError(
            "digest-mismatch", f"member {member.name}", expected=entry.sha256, found=member.sha256
        )
    if entry.section is not Section.PARTITIONS and entry.size not in (None, 0, member.size):
        raise UpdateError(
            "member-size", f"member {member.name}", expected=f"{entry.size} bytes", found=member.size
        )


def _measure(file: BinaryIO, artifacts: dict[str, Entry], companions: Companions) -> Iterator[Measurement]:
    for member, reader in cpio.members(file):
        entry = artifacts.get(member.name)
        if entry is None:
            continue
        figures: Figures = {"member_size": member.size}
        payload = _plain(entry, reader, companions.key)
        if payload is None:
            yield Measurement(entry, figures, is_opened=False)
            continue
        known = TYPES.get(entry.type)
        if known and known.builder:
            figures = {**figures, **known.builder.check(entry, payload, companions)}
        _exhaust(payload)
        yield Measurement(entry, figures)


def _plain(entry: Entry, reader: Reader, key: Key | None) -> Reader | None:
    """The artifact, decrypted and decompressed; None without the key to it."""
    what = f"member {entry.filename}"
    if entry.encrypted:
        own = bytes.fromhex(entry.aes_key) if entry.aes_key else key.key if key else b""
        iv = bytes.fromhex(entry.ivt) if entry.ivt else key.iv if key else b""
        if not own or not iv:
            return None
        reader = Decrypt(reader, own, iv, what)
    return Decompress(reader, entry.compressed, MEMORY, what) if entry.compressed else reader


def _check_installable(choice: Choice) -> None:
    """What would make stock SWUpdate or our device refuse, beyond what parsing refuses already."""
    where = " ".join(filter(None, (choice.board, choice.selection))) or "sw-description"
    if not choice.description.hardware:
        raise UpdateError("description-content", f"{where}: hardware-compatibility is missing")
    places: dict[tuple[object, ...], str] = {}
    streamed: set[str] = set()
    for entry in choice.description.entries:
        name = f"{where}: {entry.label}"
        types.check(entry, name)
        place = types.place(entry)
        if place and place in places:
            raise UpdateError("target-doubled", f"{name} goes to the same place", found=places[place])
        if place:
            places[place] = name
        if entry.filename in streamed:
            raise UpdateError(
                "description-content", f"{name}: a file that is installed-directly is for one entry alone"
            )
        if entry.filename and entry.installed_directly:
            streamed.add(entry.filename)


def _exhaust(reader: Reader) -> None:
    for _ in blocks(reader):
        pass
