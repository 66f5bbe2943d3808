"""Artefacts: what is dear to make lies in `build/boards` as NAME-HASH, made when it is first asked for.

The hash is that of the recipe: the source of the module that makes it, and what it is made from. So a change
of either makes a new one, and what is there is always right. Whoever asks first makes it, in a temporary
folder that is renamed when all is done; others wait. What nobody has asked for in a day is removed.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import inspect
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]  # of the checkout
FOLDER: Final = (ROOT / "build").resolve() / "boards"
FORGOTTEN_S: Final = 24 * 3600

Make = Callable[[Path], None]
"""Makes a file or a folder at a path where there is none."""

_log = logging.getLogger(__name__)


def made(name: str, make: Make, *inputs: str | Path) -> Path:
    """The artefact of a recipe, a file or a folder.

    Args:
        name: of the artefact; artefacts of one name are made one after the other.
        make: is given the path where to make it, which does not exist yet.
        inputs: whatever else decides what comes out: texts, files, and other artefacts.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}-{_hash(make, inputs)}"
    if not path.exists():
        with _locked(name):
            if not path.exists():
                _forget(name)
                _make(make, path)
    os.utime(path)
    return path


def run(*arguments: str | Path, folder: Path | None = None, text: str = "", **environment: str) -> str:
    """Runs a program to its end and gives back what it printed; `text` is its input.

    Raises:
        RuntimeError: it failed; with its command line and all it said.
    """
    process = subprocess.run(
        arguments, cwd=folder, env=os.environ | environment, input=text.encode(), capture_output=True
    )
    if process.returncode != 0:
        said = (process.stdout + process.stderr).decode(errors="replace")
        raise RuntimeError(
            f"{' '.join(map(str, arguments))} ended with {process.returncode}:\n{said[-8000:]}"
        )
    return process.stdout.decode(errors="replace")


def tool(name: str) -> Path:
    """A program of the table in `bench/tools/get.py`, fetched if it is not there."""
    run(sys.executable, ROOT / "bench" / "tools" / "get.py", name)
    return ROOT / "build" / "tools" / "bin" / name


def _hash(make: Make, inputs: tuple[str | Path, ...]) -> str:
    module = inspect.getmodule(make)
    assert module is not None
    code = ast.unparse(ast.parse(inspect.getsource(module)))  # without comments
    digest = hashlib.sha256(code.encode())
    for given in inputs:
        digest.update(f"\0{_content(given)}".encode())
    return digest.hexdigest()[:12]


def _content(given: str | Path) -> str:
    if isinstance(given, str):
        return given
    if given.is_relative_to(FOLDER):
        return str(given.relative_to(FOLDER))  # the name of an artefact holds its hash
    return hashlib.sha256(given.read_bytes()).hexdigest()


def _make(make: Make, path: Path) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".draft-") as folder:
        draft = Path(folder) / path.name
        make(draft)
        draft.rename(path)
    _log.info("%s: made in %.1f s", path.name, time.monotonic() - started)


def _forget(name: str) -> None:
    for path in FOLDER.iterdir():
        if (
            re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{12}}", path.name)
            and path.stat().st_mtime < time.time() - FORGOTTEN_S
        ):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _locked(name: str) -> Iterator[None]:
    with (FOLDER / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
