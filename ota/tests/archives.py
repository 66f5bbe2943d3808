"""Archives that a .swu reader must accept or refuse, as named cases: one list for every reader.

`test_cpio.py` runs what `cpio.members` decides alone; a test with an installer, ours or stock SWUpdate's
binary, builds a signed description of one file and runs every case through it. `stock` is what Debian's
swupdate 2024.12.1 did with each kind.

The archives are made here by hand, so that they can be wrong in any way, and share no code with the writer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Files = Mapping[str, bytes]
"""In order: `sw-description`, `sw-description.sig`, then one file that the description refers to, `a.bin`."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of archive.

    Args:
        build: makes the archive from the files of a good one.
        stock: whether stock SWUpdate installs it.
        codes: with which of our errors an installer refuses it; none if it is installed.
        why: what makes us stricter than stock.
        archive: whether `cpio.members` refuses it, without knowing the description.
    """

    name: str
    build: Callable[[Files], bytes]
    stock: bool
    codes: tuple[str, ...] = ()
    why: str = ""
    archive: bool = False


def member(
    name: str | bytes,
    data: bytes,
    *,
    magic: bytes = b"070702",
    upper: bool = False,
    nul: bool = True,
    checksum: int | None = None,
    mode: int = 0o100644,
) -> bytes:
    """One member with its padding, right unless told otherwise."""
    raw = (name.encode() if isinstance(name, str) else name) + b"\0" * nul
    if checksum is None:
        checksum = sum(data) % (1 << 32) if magic == b"070702" else 0
    fields = (7, mode, 0, 0, 1, 1_700_000_000, len(data), 8, 1, 0, 0, len(raw), checksum)
    header = magic + b"".join((b"%08X" if upper else b"%08x") % field for field in fields) + raw
    return _padded(header) + _padded(data)


def trailer(magic: bytes = b"070702", padding: bytes | int = 512) -> bytes:
    """The end mark and what follows it: bytes, or zeros up to a multiple."""
    end = member("TRAILER!!!", b"", magic=magic, mode=0)
    return end + (padding if isinstance(padding, bytes) else bytes(-len(end) % padding))


def archive(files: Files, *, magic: bytes = b"070702", upper: bool = False) -> bytes:
    """A good archive of these files."""
    return b"".join(member(name, data, magic=magic, upper=upper) for name, data in files.items()) + trailer(
        magic
    )


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _body(files: Files) -> bytes:
    return b"".join(member(name, data) for name, data in files.items())


def _mixed(files: Files) -> bytes:
    magics = [b"070701", b"070702"] * len(files)
    return (
        b"".join(member(*file, magic=magic) for file, magic in zip(files.items(), magics, strict=False))
        + trailer()
    )


def _with_extra(name: str, data: bytes, mode: int = 0o100644) -> Callable[[Files], bytes]:
    def build(files: Files) -> bytes:
        *first, last = (member(*file) for file in files.items())
        return b"".join([*first, member(name, data, mode=mode), last, trailer()])

    return build


def _ended(padding: bytes | int) -> Callable[[Files], bytes]:
    return lambda files: _body(files) + trailer(padding=padding)


def _ordered(order: Callable[[list[str]], list[str]]) -> Callable[[Files], bytes]:
    return lambda files: archive({name: files[name] for name in order(list(files))})


def _renamed(old: str, new: str) -> Callable[[Files], bytes]:
    return lambda files: archive({new if name == old else name: data for name, data in files.items()})


def _changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Files], bytes]:
    return lambda files: archive({**files, name: change(files[name])})


def _wrong_sum(target: str) -> Callable[[Files], bytes]:
    def build(files: Files) -> bytes:
        wrong = {
            name: (sum(data) + 1) % (1 << 32) if name == target else None for name, data in files.items()
        }
        return b"".join(member(name, data, checksum=wrong[name]) for name, data in files.items()) + trailer()

    return build


def _twice(change: Callable[[bytes], bytes]) -> Callable[[Files], bytes]:
    return lambda files: _body(files) + member("a.bin", change(files["a.bin"])) + trailer()


def _flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


ACCEPTED = (
    Case("crc", archive, True),
    Case("newc", lambda files: archive(files, magic=b"070701"), True),
    Case("mixed newc and crc", _mixed, True),
    Case("upper-case hex digits", lambda files: archive(files, upper=True), True),
    Case("an unknown file", _with_extra("unknown", b"left alone"), True),
    Case("an unknown empty file", _with_extra("unknown", b""), True),
    Case("a directory", _with_extra("folder", b"", mode=0o040755), True),
    Case("a name with a slash", _with_extra("folder/file", b"left alone"), True),
    Case(
        "a name without its NUL",
        lambda files: b"".join(member(*file, nul=False) for file in files.items()) + trailer(),
        True,
    ),
    Case("no padding after the trailer", _ended(b""), True),
    Case("padding to 512", _ended(512), True),
    Case("padding to 4096", _ended(4096), True),
    Case("4 KiB of garbage after the trailer", _ended(b"\xa5" * 4096), True),
)

STRICTER = (
    Case(
        "a referenced file twice",
        _twice(lambda data: data),
        True,
        ("member-doubled",),
        "the first copy is installed as it streams in, stock stores both and installs the last",
    ),
    Case(
        "an unknown file that climbs out",
        _with_extra("../evil", b"left alone"),
        True,
        ("member-name",),
        "SWUpdate refuses it since 2026.05 as well",
        archive=True,
    ),
    Case(
        "an unknown file with an absolute name",
        _with_extra("/evil", b"left alone"),
        True,
        ("member-name",),
        "SWUpdate refuses it since 2026.05 as well",
        archive=True,
    ),
    Case(
        "an empty name",
        _with_extra("", b""),
        True,
        ("member-name",),
        "nothing can be meant by it",
        archive=True,
    ),
    Case(
        "a NUL inside a name",
        _with_extra("un\0known", b"left alone"),
        True,
        ("member-name",),
        "two readers of the archive would see two names",
        archive=True,
    ),
    Case(
        "a name that is not UTF-8",
        lambda files: _body(files) + member(b"\xff\xfe", b"left alone") + trailer(),
        True,
        ("member-name",),
        "it could not be shown or logged",
        archive=True,
    ),
)

REFUSED = (
    Case(
        "the signature is last",
        _ordered(lambda names: [names[0], *names[2:], names[1]]),
        False,
        ("member-order", "signature-missing"),
    ),
    Case(
        "no signature",
        _ordered(lambda names: [names[0], *names[2:]]),
        False,
        ("member-order", "signature-missing"),
    ),
    Case("sw-description is not first", _ordered(lambda names: names[::-1]), False, ("member-order",)),
    Case("./sw-description", _renamed("sw-description", "./sw-description"), False, ("member-order",)),
    Case("a referenced file stored as ./a.bin", _renamed("a.bin", "./a.bin"), False, ("member-missing",)),
    Case("a referenced file is missing", _ordered(lambda names: names[:2]), False, ("member-missing",)),
    Case(
        "a referenced file twice, the last copy differs",
        _twice(_flip),
        False,
        ("member-doubled", "digest-mismatch"),
    ),
    Case("a wrong checksum", _wrong_sum("a.bin"), False, ("archive-checksum",), archive=True),
    Case(
        "a wrong checksum of sw-description",
        _wrong_sum("sw-description"),
        False,
        ("archive-checksum",),
        archive=True,
    ),
    Case(
        "a wrong checksum of an unknown file",
        lambda files: _body(files) + member("unknown", b"left alone", checksum=1) + trailer(),
        False,
        ("archive-checksum",),
        archive=True,
    ),
    Case("a wrong sha256", _changed("a.bin", _flip), False, ("digest-mismatch",)),
    Case("no trailer", _body, False, ("archive-truncated",), archive=True),
    Case(
        "an odc header",
        lambda files: _body(files) + b"070707" + member("unknown", b"")[6:] + trailer(),
        False,
        ("archive-format",),
        archive=True,
    ),
    Case("cut off in a.bin", lambda files: _body(files)[:-5], False, ("archive-truncated",), archive=True),
    Case(
        "a name of 256 bytes",
        lambda files: _body(files) + member("n" * 255, b"left alone") + trailer(),
        False,
        ("member-name",),
        archive=True,
    ),
    Case(
        "sw-description changed after it was signed",
        _changed("sw-description", lambda data: data + b"\n"),
        False,
        ("signature-invalid",),
    ),
)

CASES = (*ACCEPTED, *STRICTER, *REFUSED)
