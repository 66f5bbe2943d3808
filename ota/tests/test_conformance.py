"""The conformance table: one package through stock SWUpdate 2024.12 and through ours, on equal devices.

`docs/conformance.md` shows the rows of `ota/tests/conformance`; here both programs are made to prove them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.tests.conformance import table
from ota.tests.conformance.case import BOOT, Case, Stock
from ota.tests.devices import Snapshot, difference
from ota.tests.twins import Twins

pytestmark = [
    pytest.mark.compat,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root, for loop devices"),
    pytest.mark.tool("swupdate-2024.12", "sfdisk", "mkfs.vfat", "mke2fs", "mkenvimage", "fw_printenv"),
    pytest.mark.tool("zck", "zck_read_header", "nginx"),
]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Twins:
    return Twins(tmp_path_factory.mktemp("twins"), tool)


@pytest.fixture(scope="module")
def before(twins: Twins) -> Callable[[Case], Snapshot]:
    """What devices hold at first; kept, as most rows have the same."""
    kept: dict[object, Snapshot] = {}

    def look(case: Case) -> Snapshot:
        key = (case.trees, case.masks, case.environment, case.blank, *case.installed.items())
        if key not in kept:
            kept[key] = twins.before(case)
        return kept[key]

    return look


@pytest.mark.parametrize("case", table.CASES, ids=str)
def test_a_row_holds(case: Case, twins: Twins, before: Callable[[Case], Snapshot]) -> None:
    package = twins.package(case, case.text)
    at_first = before(case)
    stock = twins.run_stock(case, package)
    assert stock.stock is case.stock, stock.log
    if case.stock is Stock.INSTALLED:
        changed = {*difference(at_first, stock.left)} - {BOOT}
        assert changed == {*case.changes}, f"stock changes {changed}\n{stock.log}"
    ours = twins.run_ours(case, package)
    assert ours.code == case.code, ours.log
    if case.twin:
        stock = twins.run_stock(case, twins.package(case, case.twin))
        assert stock.stock is Stock.INSTALLED, stock.log
    refused_alone = case.code is not None and stock.stock is not Stock.REFUSED
    differing = difference(at_first if refused_alone else stock.left, ours.left)
    assert {*differing} == {*case.differs}, f"{differing}\n{ours.log}"
    assert bool(case.reason) == table.needs_reason(case), "a reason where both do the same, or none"
