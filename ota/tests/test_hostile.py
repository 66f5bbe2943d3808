"""The table of hostile packages: each through our whole installer and through stock SWUpdate 2024.12.

`docs/hostile.md` shows the table; here both programs are made to prove it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.boot.table import RECOVERY_STATUS, USTATE
from ota.tests.conformance.case import BOOT, DISK, FOLDER, PARTITIONS
from ota.tests.devices import Snapshot, difference
from ota.tests.hostile.case import Case, Stock, When
from ota.tests.hostile.table import CASES, REFUSED_FIRST
from ota.tests.hostile.trial import End, Trial

pytestmark = [
    pytest.mark.compat,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root, for loop devices"),
    pytest.mark.tool("swupdate-2024.12", "sfdisk", "mkfs.vfat", "mke2fs", "mkenvimage", "fw_printenv"),
]

AT_LEAST = 60  # that ours refuses before anything is written

_RUNNING, _SLOT = PARTITIONS[1], PARTITIONS[2]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Trial:
    return Trial(tmp_path_factory.mktemp("hostile"), tool)


@pytest.fixture(scope="module")
def before(trial: Trial) -> Snapshot:
    return trial.before()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_package_is_refused_and_leaves_nothing(case: Case, trial: Trial, before: Snapshot) -> None:
    ours = trial.run_ours(case, trial.package(case))
    assert ours.code == case.code, ours.log
    assert ours.left == ""
    changed = difference(before, ours.held)
    assert set(changed) <= ({DISK, BOOT} if case.late else set()), changed
    assert when(before, ours.held) is case.when
    assert bool(case.late) == (case.when is not When.FIRST)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stock_meets_the_fate_that_the_table_foretells(case: Case, trial: Trial, before: Snapshot) -> None:
    stock = trial.run_stock(case, trial.package(case))
    found = fate(before, stock)
    assert found in ([Stock.REFUSES, Stock.CRASHES] if case.stock is Stock.CHANCE else [case.stock]), (
        stock.log
    )


def test_the_table_has_as_many_packages_as_promised() -> None:
    assert len(REFUSED_FIRST) >= AT_LEAST
    assert len({case.name for case in CASES}) == len(CASES)


def when(before: Snapshot, after: Snapshot) -> When:
    """What ours has left, where it may have left anything."""
    if disk(before) != disk(after):
        start, stop = _SLOT.start, _SLOT.stop
        outside = [data[:start] + data[stop:] for data in (disk(before), disk(after))]
        assert bool(outside[0] == outside[1]), "written outside of the slot"
        return When.SPOILT
    if before[BOOT] == after[BOOT]:
        return When.FIRST
    variables = [
        {name: value for name, value in held.items() if name not in (RECOVERY_STATUS, USTATE)}
        for held in (before[BOOT], after[BOOT])
        if isinstance(held, dict)
    ]
    assert variables[0] == variables[1]
    return When.MARKED


def fate(before: Snapshot, stock: End) -> Stock:
    """What stock SWUpdate did; the disk and the files tell more than it does."""
    if stock.status is None:
        return Stock.HANGS
    if stock.status not in (0, 1):
        return Stock.CRASHES
    changed = difference(before, stock.held)
    start, stop = _RUNNING.start, _RUNNING.stop
    if bool(disk(before)[start:stop] != disk(stock.held)[start:stop]):
        return Stock.RUNNING
    if any(not name.startswith("app/") for name in changed_files(before, stock.held)):
        return Stock.OUTSIDE
    if stock.status == 1:
        return Stock.SPOILS if {DISK, FOLDER} & set(changed) else Stock.REFUSES
    return Stock.INSTALLS if {DISK, FOLDER} & set(changed) else Stock.NOTHING


def disk(held: Snapshot) -> bytes:
    """All of the disk."""
    data = held[DISK]
    assert isinstance(data, bytes)
    return data


def changed_files(before: Snapshot, after: Snapshot) -> list[str]:
    """Names in /mnt, but for the folder of the files itself: its time changes."""
    one, other = before[FOLDER], after[FOLDER]
    assert isinstance(one, dict) and isinstance(other, dict)
    return [name for name in {*one, *other} if one.get(name) != other.get(name) and name != "app"]
