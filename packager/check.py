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
from ota.formats import cpio, description, selection
from ota.formats.selection import Entry, Selection
from ota.interfaces import Reader
from ota.io.readers import Decompress, blocks, read_full
from ota.trust import signature as trusted
from ota.trust.signature import Trust
from packager.builders import BUILDERS
from packager.contents import Choice, Contents, Measurement, Stored
from packager.interfaces import Companions, Figures, Measured

DESCRIPTION: Final = "sw-description"
SIGNATURE: Final = "sw-description.sig"

# What stock SWUpdate can be built with (its handlers.rst); a word that it does not know makes it refuse.
_STOCK_TYPES: Final = frozenset({
    "archive", "bootloader", "btrfs", "btrfs-receive", "copy", "delta", "diskformat", "diskpart",
    "docker_containercreate", "docker_containerdelete", "docker_containerstart", "docker_containerstop",
    "docker_imagedelete", "docker_imageload", "docker_imageprune", "docker_networkcreate",
    "docker_networkdelete", "docker_volumecreate", "docker_volumedelete", "dummy", "emmc_boot",
    "emmc_boot_toggle", "executor", "flash", "flash-hamming1", "gptpart", "gptswap", "lua", "postinstall",
    "preinstall", "raw", "rawcopy", "rawfile", "rdiff_file", "rdiff_image", "readback", "remote",
    "shellscript", "ssblswitch", "swuforward", "tar", "toggleboot", "ubipartition", "ubiswap", "ubivol",
    "uboot", "ucfw", "uniqueuuid",
})  # fmt: skip
MEMORY: Final = 1 << 27  # bytes a decompressor may take; the window that stock SWUpdate's zstd stops at


def inspect(path: Path) -> Contents:
    """What is in a package, whoever signed it.

    Raises:
        ConfigError, UpdateError, TrustError: it cannot be read, or it is not whole.
    """
    return _read(path, None, Companions())


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
    choices = tuple(_choices(description.parse(container.description)))
    artifacts = _artifacts(choices, container.members)
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
        choices=choices,
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


def _choices(tree: description.Tree) -> Iterator[Choice]:
    """Every selection, for every board where it depends on the board."""
    texts = selection.selections(tree)
    names: list[Selection | None] = [Selection.parse(text) for text in texts]
    software = tree.get(selection.ROOT)
    boards = list(software) if isinstance(software, dict) else []
    for name in names or [None]:
        try:
            yield Choice("", str(name or ""), selection.select(tree, "", name, required=True))
        except UpdateError as error:
            found = list(_choices_of_boards(tree, boards, name))
            if not found:
                raise error
            yield from found


def _choices_of_boards(tree: description.Tree, boards: list[str], name: Selection | None) -> Iterator[Choice]:
    for board in boards:
        try:
            yield Choice(board, str(name or ""), selection.select(tree, board, name, required=True))
        except UpdateError as error:
            if error.code not in ("selection-missing", "description-content"):
                raise


def _artifacts(choices: tuple[Choice, ...], members: tuple[Stored, ...]) -> dict[str, Entry]:
    """The first entry of each artifact; all of them name the same member and its sha256."""
    stored: dict[str, list[Stored]] = {}
    for member in members:
        stored.setdefault(member.name, []).append(member)
    artifacts: dict[str, Entry] = {}
    for entry in (entry for choice in choices for entry in choice.description.entries):
        if entry.filename is None:
            continue
        found = stored.get(entry.filename, [])
        if len(found) != 1:
            code = "member-doubled" if found else "member-missing"
            raise UpdateError(code, f"member {entry.filename}", expected="one", found=len(found))
        if entry.sha256 is None:
            raise TrustError("digest-missing", f"{entry.filename} has no sha256 in the sw-description")
        if entry.sha256 != found[0].sha256:
            raise TrustError(
                "digest-mismatch", f"member {entry.filename}", expected=entry.sha256, found=found[0].sha256
            )
        artifacts.setdefault(entry.filename, entry)
    return artifacts


def _measure(file: BinaryIO, artifacts: dict[str, Entry], companions: Companions) -> Iterator[Measurement]:
    for member, reader in cpio.members(file):
        entry = artifacts.get(member.name)
        if entry is None:
            continue
        payload: Reader = reader
        if entry.compressed:
            payload = Decompress(reader, entry.compressed, MEMORY, f"member {member.name}")
        figures: Figures = {"member_size": member.size}
        if entry.type in BUILDERS:
            figures = {**figures, **BUILDERS[entry.type].check(entry, payload, companions)}
        _exhaust(payload)
        yield Measurement(entry, figures)


def _check_installable(choice: Choice) -> None:
    """What would make stock SWUpdate refuse, beyond what parsing refuses already."""
    where = choice.selection or "sw-description"
    if not choice.description.hardware:
        raise UpdateError("description-content", f"{where}: hardware-compatibility is missing")
    for entry in choice.description.entries:
        if entry.type not in _STOCK_TYPES:
            raise UpdateError(
                "description-type", f"{where}: stock SWUpdate has no handler for it", found=entry.type
            )


def _exhaust(reader: Reader) -> None:
    for _ in blocks(reader):
        pass
