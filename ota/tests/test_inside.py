"""Paths below a root: no link leads out of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ota.errors import DeviceError
from ota.io import inside
from ota.tests.entries import needs_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "absolute").symlink_to("/usr/lib")
    (root / "climbing").symlink_to("../../../usr")
    (root / "usr/lib/deeper").symlink_to("../../lib/./..")
    (root / "dangling").symlink_to("/nowhere/at/all")
    return root


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", ""),
        ("usr//lib/./x", "usr/lib/x"),
        ("/lib/x", "usr/lib/x"),
        ("/absolute/x", "usr/lib/x"),
        ("/climbing/lib", "usr/lib"),
        ("/lib/deeper/x", "usr/x"),
        ("/dangling", "nowhere/at/all"),
        ("/../../x", "x"),
        ("/lib/../x", "usr/x"),
    ],
)
def test_links_and_dots_stay_inside(root: Path, path: str, found: str) -> None:
    assert inside.resolve(root, path) == root / found


def test_too_many_links_are_refused(root: Path) -> None:
    (root / "loop").symlink_to("/loop")
    with pytest.raises(DeviceError) as refusal:
        inside.resolve(root, "/loop")
    assert refusal.value.code == "path-unusable"


@needs_root
def test_a_thread_that_works_inside_sees_nothing_else_and_nobody_else_notices(root: Path) -> None:
    (root / "file").write_text("inside")

    def work() -> tuple[list[str], str]:
        return sorted(each.name for each in Path("/").iterdir()), str(Path.cwd())

    before = Path.cwd()
    with ThreadPoolExecutor(1) as thread:
        names, folder = inside.start(thread, root, root / "usr/lib", work).result()
    assert folder == "/usr/lib"
    assert "file" in names and "tmp" not in names
    assert Path.cwd() == before and not Path("/file").exists()
