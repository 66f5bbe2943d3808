"""Keep README's table of errors equal to the code: rewrites it, or with --check says whether it is right."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ota.errors import FAMILIES

README = Path(__file__).parents[1] / "README.md"
MARKS = ("<!-- errors: made by docs/error_table.py -->\n", "<!-- end of errors -->")


def table() -> str:
    """Markdown: one line a code."""
    lines = ["| exit status | family | code | what it says |", "| --- | --- | --- | --- |"]
    for family in FAMILIES:
        name = family.__name__.removesuffix("Error").lower()
        lines += [
            f"| {family.exit_status} | {name} | `{code}` | {said} |" for code, said in family.codes.items()
        ]
    return "\n".join(lines) + "\n"


def main() -> int:
    text = README.read_text()
    pattern = "(?s)" + "(.*?)".join(map(re.escape, MARKS))
    right = re.sub(pattern, lambda _: MARKS[0] + table() + MARKS[1], text)
    if "--check" in sys.argv:
        return int(text != right)
    README.write_text(right)
    return 0


if __name__ == "__main__":
    sys.exit(main())
