"""Keeps tables in the documentation equal to the code; with --check it only says whether they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the tests are not installed

from ota.boot.table import SETTLED, TABLE, Action, Count, Row, Running, Slot, UpdateState
from ota.errors import FAMILIES
from ota.tests import behaviours
from ota.tests.conformance import table
from ota.tests.conformance.case import Case, Stock
from ota.tests.hostile.case import When
from ota.tests.hostile.table import GROUPS, REFUSED_FIRST


def errors() -> list[str]:
    """One line a code."""
    lines = ["| exit status | family | code | what it says |", "| --- | --- | --- | --- |"]
    for family in FAMILIES:
        name = family.__name__.removesuffix("Error").lower()
        lines += [
            f"| {family.exit_status} | {name} | `{code}` | {said} |" for code, said in family.codes.items()
        ]
    return lines


def servers() -> list[str]:
    """One line a behaviour, with what the tests prove of it."""
    lines = ["| server | `ota` | what it does | SWUpdate 2024.12 |", "| --- | --- | --- | --- |"]
    for case in behaviours.CASES:
        outcome = "ends right" if case.code is None else f"`{case.code}`"
        lines.append(f"| {case.name} | {outcome} | {case.ours} | {case.stock} |")
    return lines


def conformance() -> list[str]:
    """One line a package, with what the tests prove of it."""
    lines = ["| package | SWUpdate 2024.12 | `ota` | afterwards | why |", "| --- | --- | --- | --- | --- |"]
    for case in table.CASES:
        ours = "installed" if case.code is None else f"`{case.code}`"
        lines.append(f"| {case} | {case.stock} | {ours} | {_afterwards(case)} | {case.reason} |")
    return lines


def _afterwards(case: Case) -> str:
    differs = ", ".join(f"`{part}`" for part in case.differs)
    if case.code is not None and case.stock is not Stock.REFUSED:
        return f"ours untouched but {differs}" if differs else "ours untouched"
    masked = ", ".join(dict.fromkeys(what for *_, what in case.masks))
    return "equal" + (f" but {differs or masked}" if differs or masked else "")


def hostile() -> list[str]:
    """One line a package, with what the tests prove of it."""
    count = sum(map(len, GROUPS.values()))
    lines = [f"{count} packages, {len(REFUSED_FIRST)} of them refused before anything is written."]
    for group, cases in GROUPS.items():
        lines += ["", f"## {group}", "", "| package | `ota` | SWUpdate 2024.12 |", "| --- | --- | --- |"]
        for case in cases:
            when = "" if case.when is When.FIRST else f", {case.when}: {case.late}"
            lines.append(f"| {case.name} | `{case.code}`{when} | {case.stock} |")
    return lines


_STATES = {
    "settled": SETTLED,
    **{state.name.lower(): frozenset({state}) for state in UpdateState if state not in SETTLED},
}


def states() -> list[str]:
    """The boot logic: a diagram of what changes the state, and one line a row of the table."""
    return ["```mermaid", *_diagram(), "```", "", *_rows()]


def _diagram() -> list[str]:
    lines = ["stateDiagram-v2"]
    lines += [f"    {name} : {name.replace('_', ' ')}, ustate={min(of)}" for name, of in _STATES.items()]
    lines += ["    any : any state"]
    for row in TABLE:
        targets = [name for name, of in _STATES.items() if row.to in of]
        sources = [name for name, of in _STATES.items() if row.states & of] or ["any"]
        lines += [
            f"    {source} --> {target} : {', '.join([row.event, *_conditions(row)])}"
            for source in sources
            for target in targets
        ]
    return lines


def _rows() -> list[str]:
    lines = ["| event | `ustate` | if | stored, all at once | then | why |", "| --- " * 6 + "|"]
    for row in TABLE:
        before = " ".join(sorted(row.states)) or "any"
        stored = ", ".join(_stored(row)) or "-"
        then = "-" if row.action is Action.NOTHING else row.action.value
        conditions = ", ".join(_conditions(row)) or "-"
        lines.append(f"| {row.event} | {before} | {conditions} | {stored} | {then} | {row.why} |")
    return lines


def _conditions(row: Row) -> list[str]:
    running = {Running.NAMED: ["named slot runs"], Running.UNNAMED: ["other slot runs"], Running.EITHER: []}
    tries = {True: ["tries left"], False: ["no tries left"], None: []}
    return running[row.running] + tries[row.tries_left]


def _stored(row: Row) -> list[str]:
    stored = [] if row.slot is Slot.KEPT else [f"slot: {row.slot.value}"]
    stored += [] if row.to is None else [f"`ustate={row.to}`"]
    stored += [] if row.count is Count.KEPT else [f"`boot_tries` {row.count.value}"]
    if row.recovery is not None:
        stored.append(f"`recovery_status={row.recovery}`" if row.recovery else "no `recovery_status`")
    return stored


PAGES: dict[Path, Callable[[], list[str]]] = {
    ROOT / "README.md": errors,
    ROOT / "docs/servers.md": servers,
    ROOT / "docs/conformance.md": conformance,
    ROOT / "docs/hostile.md": hostile,
    ROOT / "docs/boot.md": states,
}


def with_table(page: Path, name: str, lines: list[str]) -> str:
    """A page's text with a table between its marks."""
    start, end = f"<!-- {name}: made by docs/tables.py -->\n", f"<!-- end of {name} -->"
    before, mark, rest = page.read_text().partition(start)
    assert mark and end in rest, f"{page} has no marks for {name}"
    return before + start + "\n".join(lines) + "\n" + end + rest.partition(end)[2]


def main() -> int:
    right = {page: with_table(page, table.__name__, table()) for page, table in PAGES.items()}
    if "--check" in sys.argv:
        return sum(page.read_text() != text for page, text in right.items())
    for page, text in right.items():
        page.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
