"""The output folder: what a build makes appears there when all of it is right, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ota.errors import ConfigError


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder in `folder` to build in, gone at the end whatever happens."""
    with refusing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # In `folder`, because only within one file system a rename is atomic.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".otapack-") as name:
            yield Path(name)


def commit(stage: Path, folder: Path, names: Sequence[str]) -> None:
    """Move finished files, named relative to both folders, in this order."""
    for name in names:
        with (stage / name).open("rb") as file:
            os.fsync(file.fileno())
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).replace(folder / name)


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turn what the file system answers into a refusal that names the folder."""
    try:
        yield
    except OSError as error:
        # An error of an open or a rename names a file, that of a write does not.
        where = error.filename or folder
        raise ConfigError(
            "output-unwritable", f"cannot work in {folder}", found=f"{error.strerror} ({where})"
        ) from error
