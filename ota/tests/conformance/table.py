"""All rows, in the order of the documentation."""

from __future__ import annotations

from typing import Final

from ota.tests.conformance.attributes import ATTRIBUTES
from ota.tests.conformance.case import Case, Stock
from ota.tests.conformance.deltas import DELTAS
from ota.tests.conformance.generated import GENERATED
from ota.tests.conformance.order import ORDER
from ota.tests.conformance.search import SEARCH
from ota.tests.conformance.steps import STEPS
from ota.tests.conformance.variables import VARIABLES
from ota.tests.conformance.versions import VERSIONS
from ota.tests.conformance.writers import WRITERS

CASES: Final[tuple[Case, ...]] = (
    *SEARCH,
    *VERSIONS,
    *ATTRIBUTES,
    *ORDER,
    *VARIABLES,
    *WRITERS,
    *DELTAS,
    *STEPS,
    *GENERATED,
)


def needs_reason(case: Case) -> bool:
    """Whether the programs part."""
    return bool(case.differs) or (case.stock is Stock.INSTALLED) != (case.code is None)
