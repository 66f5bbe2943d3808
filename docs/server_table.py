"""Keep the table of docs/servers.md equal to the list that the tests prove: rewrites it, or --check."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests are not installed

from ota.tests.behaviours import CASES

PAGE = Path(__file__).parent / "servers.md"
MARKS = ("<!-- made by docs/server_table.py -->\n", "<!-- end of table -->")


def table() -> str:
    """Markdown: one line a behaviour."""
    lines = ["| server | `ota` | what it does | SWUpdate 2024.12 |", "| --- | --- | --- | --- |"]
    for case in CASES:
        outcome = "ends right" if case.code is None else f"`{case.code}`"
        lines.append(f"| {case.name} | {outcome} | {case.ours} | {case.stock} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    text = PAGE.read_text()
    pattern = "(?s)" + "(.*?)".join(map(re.escape, MARKS))
    right = re.sub(pattern, lambda _: MARKS[0] + table() + MARKS[1], text)
    if "--check" in sys.argv:
        return int(text != right)
    PAGE.write_text(right)
    return 0


if __name__ == "__main__":
    sys.exit(main())
