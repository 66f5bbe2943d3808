"""A file system is taken off, also where somebody is just looking at it."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from ota.errors import DeviceError
from ota.io import mount

pytestmark = [
    pytest.mark.tool("mkfs.ext4"),
    pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="mounting needs root"),
]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file system in a file."""
    path = tmp_path / "fs.img"
    path.touch()
    os.truncate(path, 4 << 20)
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    return path


def test_what_is_busy_for_a_moment_is_unmounted_a_little_later(image: Path, tmp_path: Path) -> None:
    with mount.mounted(image, "ext4", tmp_path / "mnt") as folder:
        held = os.open(folder, os.O_RDONLY)
        threading.Timer(0.3, os.close, [held]).start()
    assert not os.path.ismount(tmp_path / "mnt")


def test_what_stays_busy_is_told(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "_BUSY_S", 0.2)
    with (
        pytest.raises(DeviceError, match="umount"),
        mount.mounted(image, "ext4", tmp_path / "mnt") as folder,
    ):
        held = os.open(folder, os.O_RDONLY)
    os.close(held)
    subprocess.run(["umount", tmp_path / "mnt"], check=True)
