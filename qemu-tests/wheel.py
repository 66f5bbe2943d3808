"""Our own wheel for an architecture, made from the checkout: what a device would install."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import artefacts
import toolchain

_PLATFORMS: Final = {"amd64": "linux_x86_64", "arm64": "linux_aarch64"}
_MADE: Final = ("ota/native/_*.c", "*.so", "*.pyc")  # of sources that are shipped, too
_TESTS: Final = ("tests/*", "tests/*/*", "tests/*/*/*")
_BUILD: Final = """\
python3 setup.py -q build_ext -j2 bdist_wheel --plat-name $PLATFORM
"""


def wheel(architecture: str) -> Path:
    """The wheel; another one as soon as a file that is shipped has changed."""
    return artefacts.made(
        f"wheel-{architecture}", lambda path: _make(path, architecture), architecture, toolchain.toolchain(),
        *_names(), *_shipped(),
    )  # fmt: skip


def _make(path: Path, architecture: str) -> None:
    with toolchain.workshop() as folder:
        for source in _shipped():
            copy = folder / source.relative_to(artefacts.ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
        compiler = f"{toolchain.PREFIX[architecture]}gcc"
        toolchain.execute(
            _BUILD, folder, PLATFORM=_PLATFORMS[architecture], CC=compiler, LDSHARED=f"{compiler} -shared -s"
        )
        (built,) = (folder / "dist").glob("*.whl")
        shutil.copy(built, path)


def _names() -> Iterator[str]:
    return (str(source.relative_to(artefacts.ROOT)) for source in _shipped())


def _shipped() -> list[Path]:
    """What is in the wheel, and what says how it is made."""
    root = artefacts.ROOT
    files = {root / name for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")}
    for package in ("ota", "handlers", "packager", "boards"):
        files |= {path for path in (root / package).rglob("*") if path.is_file()}
    return sorted(path for path in files if not any(path.match(pattern) for pattern in _MADE + _TESTS))
