"""SWUpdate's example descriptions: both syntaxes select the same, and stock finds the same."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import libconf
import pytest

from handlers import HANDLERS
from ota.errors import UpdateError
from ota.formats import description, features
from ota.formats.selection import Description, Entry, Section, Selection, select
from ota.tests import sandbox
from ota.tests.archives import archive
from ota.tests.examples import EXAMPLES, Example
from ota.tests.vendor import Vendor

RUNS = [(example, board, chosen) for example in EXAMPLES for board, chosen in example.runs]
SYNTAXES: Final[Mapping[str, Callable[[str], str]]] = {
    "libconfig": lambda text: text,
    "JSON": lambda text: json.dumps(libconf.loads(text), indent=1),
}

# What `swupdate -c -v` prints of each element, section by section: parser.c, where it calls TRACE.
_FOUND: Final[Mapping[str, str]] = {
    "partitions": r"Partition: (.*) new size (-?\d+) bytes",
    "images": r"Found (compressed )?Image ?(.*?): (.*) in (?:volume|device) : (.*)"
    r" for handler (\S+)( .installed.*)?",
    "files": r"Found (compressed )?File ?(.*?): (.*) --> (.*) \((.*?)\)",
    "scripts": r"Found Script: (.*)",
    "bootenv": r"Bootloader var: (.*?) = (.*)",
}

Found = Mapping[str, list[tuple[str, ...]]]


def selected(example: Example, board: str, chosen: str, syntax: str) -> Description:
    tree = description.parse(SYNTAXES[syntax](example.text).encode())
    return select(tree, board, Selection.parse(chosen) if chosen else None)


def lacking(entries: tuple[Entry, ...]) -> Iterator[str]:
    """The features behind these entries that this program does not have."""
    for entry in entries:
        try:
            features.refuse_type(entry.type, entry.label)
        except UpdateError as error:
            yield error.what.partition(" needs ")[2]


@pytest.mark.parametrize(
    ("example", "board", "chosen"), RUNS, ids=lambda value: getattr(value, "name", value)
)
def test_both_syntaxes_select_the_same(example: Example, board: str, chosen: str) -> None:
    if example.code == "feature-absent":
        for syntax in SYNTAXES:
            with pytest.raises(UpdateError, match="needs Lua") as refused:
                selected(example, board, chosen, syntax)
            assert refused.value.code == "feature-absent"
        return
    one, other = (selected(example, board, chosen, syntax) for syntax in SYNTAXES)
    assert one == other
    assert one.entries or one.bootenv
    assert tuple(sorted(set(lacking(one.entries)))) == tuple(sorted(example.lacks))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_what_is_not_refused_by_name_has_a_handler_in_its_section(example: Example) -> None:
    if example.code == "feature-absent":
        return
    board, chosen = example.runs[0]
    for entry in selected(example, board, chosen, "libconfig").entries:
        known = entry.type in HANDLERS and entry.section in HANDLERS[entry.type].sections
        refused = bool(list(lacking((entry,))))
        assert known != (refused or example.code == "description-type"), entry.label


@pytest.mark.compat
@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root, for the sandbox")
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("example", "board", "chosen"), RUNS, ids=lambda value: getattr(value, "name", value)
)
def test_stock_finds_what_we_select(
    example: Example, board: str, chosen: str, syntax: str, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    log = checked(SYNTAXES[syntax](example.text), board, chosen, tmp_path, tool)
    if example.code == "feature-absent":
        assert "root.ext4" in log
        return
    if chosen and chosen in example.lost:
        assert "Found nothing to install" in log
        return
    assert found_by_stock(log) == as_stock_says(selected(example, board, chosen, syntax)), log


def checked(text: str, board: str, chosen: str, folder: Path, tool: Callable[[str], Path]) -> str:
    """What stock SWUpdate prints when it checks a signed package of this description."""
    vendor = Vendor(folder, tool)
    for name in ("target", "tmp"):
        (folder / name).mkdir()
    # A build that verifies signatures wants a digest of everything; the members are empty.
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    quote = '"sha256": "{}", ' if text.startswith("{") else 'sha256 = "{}"; '
    text = re.sub(r'("?\bfilename\b"? ?[=:])', quote.format(digest) + r"\1", text)
    names = dict.fromkeys(re.findall(r'filename"? ?[=:] ?"(.*?)"', text), b"")
    files = {"sw-description": text.encode(), "sw-description.sig": vendor.sign(text.encode()), **names}
    (folder / "update.swu").write_bytes(archive(files))
    (folder / "swupdate.cfg").write_text("globals: { };\n")
    command: list[str | Path] = [
        tool("swupdate-2024.12"),
        "-v",
        "-f",
        "swupdate.cfg",
        "-k",
        "signer.pem",
        "-M",
        "-m",
    ]
    command += ["-H", f"{board}:2.1", *(["-e", chosen] if chosen else []), "-c", "-i", "update.swu"]
    done = sandbox.run(command, folder, {}, {}, 20)
    return done.out + done.log


def found_by_stock(log: str) -> Found:
    """What it says, by section. It reads every list from its end, and puts each element in front."""
    text = re.sub(r"\[TRACE\] : SWUPDATE running :  \[\w+\] : ", "", log)
    return {
        section: [tuple(map(str.strip, found)) for found in as_tuples(pattern, text)]
        for section, pattern in _FOUND.items()
    }


def as_tuples(pattern: str, text: str) -> list[tuple[str, ...]]:
    return [
        tuple(group or "" for group in match.groups())
        for match in [*re.finditer(f"^{pattern}$", text, re.MULTILINE)][::-1]
    ]


def as_stock_says(chosen: Description) -> Found:
    """Our entries in its words."""
    by_section = {
        section: [entry for entry in chosen.entries if entry.section is section] for section in Section
    }
    return {
        "partitions": [
            ((entry.name or "") if entry.type == "ubipartition" else entry.device or "", str(entry.size or 0))
            for entry in by_section[Section.PARTITIONS]
        ],
        "images": [
            (
                "compressed" if entry.compressed else "",
                " ".join(word for word in (entry.name, entry.version) if word),
                entry.filename or "",
                entry.volume or entry.path or entry.device or "",
                entry.type,
                "(installed from stream)" if entry.installed_directly else "",
            )
            for entry in by_section[Section.IMAGES]
        ],
        "files": [
            (
                "compressed" if entry.compressed else "",
                " ".join(word for word in (entry.name, entry.version) if word),
                entry.filename or "",
                entry.path or "",
                entry.device or "ROOTFS",
            )
            for entry in by_section[Section.FILES]
        ],
        "scripts": [(entry.filename or "",) for entry in by_section[Section.SCRIPTS]],
        "bootenv": list(chosen.bootenv.items()),
    }
