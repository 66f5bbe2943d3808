"""The named capability `tool`: a test that needs an outside program skips without it, and fails in CI."""

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("tool"):
        missing = [name for name in mark.args if not shutil.which(name)]
        if missing and os.environ.get("CI"):
            pytest.fail(f"CI lacks {missing}")
        elif missing:
            pytest.skip(f"needs {missing}")
