"""All hostile packages, by what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ota.tests.hostile import actions, descriptions, payloads, targets, unpacking
from ota.tests.hostile.case import Case, When

GROUPS: Final[Mapping[str, Sequence[Case]]] = {
    **descriptions.GROUPS,
    **payloads.GROUPS,
    **unpacking.GROUPS,
    **targets.GROUPS,
    **actions.GROUPS,
}
CASES: Final = tuple(case for cases in GROUPS.values() for case in cases)
REFUSED_FIRST: Final = tuple(case for case in CASES if case.when is When.FIRST)
