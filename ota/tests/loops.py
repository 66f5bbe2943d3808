"""Disks for tests: files that loop devices show, with partitions."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20


@contextmanager
def disk(file: Path, size: int = 64 * MIB, script: str = "", sector: int = 512) -> Iterator[Path]:
    """A new disk, with the partitions of a script for sfdisk; skips where there are no loop devices.

    Args:
        file: what holds its bytes.
        sector: bytes.
    """
    if os.geteuid() and "CI" not in os.environ:
        pytest.skip("a loop device needs root")
    file.touch()
    os.truncate(file, 0)
    os.truncate(file, size)
    made = run("losetup", "-fP", "--show", "--sector-size", str(sector), file)
    device = Path(made.strip())
    try:
        if script:
            run("sfdisk", "--quiet", device, feed=script)
            # The kernel of a machine that tests may know no partition tables.
            subprocess.run(["partx", "--add", device], capture_output=True, check=False)
        yield device
    finally:
        run("losetup", "-d", device)


@contextmanager
def mounted(device: Path, folder: Path) -> Iterator[Path]:
    """A file system, mounted; afterwards nobody has it, not even whoever copied our mounts meanwhile."""
    folder.mkdir(exist_ok=True)
    run("mount", device, folder)
    try:
        yield folder
    finally:
        run("umount", folder)
        deadline = time.monotonic() + 60
        while is_claimed(device):
            assert time.monotonic() < deadline, f"{device} is still mounted somewhere"
            time.sleep(0.05)


def is_claimed(device: Path) -> bool:
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        assert error.errno == errno.EBUSY, error
        return True
    return False


def part(device: Path, number: int) -> Path:
    """The device of a partition."""
    return Path(f"{device}p{number}")


def found(device: Path) -> tuple[str, str]:
    """Kind and label of the file system on a device, as blkid sees it."""
    kind, label = (
        subprocess.run(["blkid", "-p", "-o", "value", "-s", tag, device], capture_output=True, text=True)
        for tag in ("TYPE", "LABEL")
    )
    return kind.stdout.strip(), label.stdout.strip()


def run(*command: str | Path, feed: str | None = None) -> str:
    done = subprocess.run(command, input=feed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
