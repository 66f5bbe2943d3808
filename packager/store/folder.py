"""A folder, on a disk or mounted from a server. Files are written beside their place and then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ota.errors import ConfigError
from ota.io import durable
from packager import output
from packager.store.sums import Held, Sent, Sums, measure

_BLOCK: Final = 1 << 20


class Folder:
    """The files below a folder; hidden ones are nobody's business."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._root = Path(target)

    def names(self, prefix: str = "") -> list[str]:
        with output.refusing(self._root):
            paths = [path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file()]
        shown = (path for path in paths if not any(part.startswith(".") for part in path.parts))
        return sorted(name for path in shown if (name := path.as_posix()).startswith(prefix))

    def read(self, name: str) -> bytes | None:
        with output.refusing(self._root):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        with self._writing(name) as file:
            file.write(data)

    def remove(self, name: str) -> None:
        with output.refusing(self._root):
            (self._root / name).unlink(missing_ok=True)

    def holds(self, name: str, sums: Sums, *, by_reading: bool = False) -> Held:
        path = self._root / name
        with output.refusing(self._root):
            if not path.exists():
                return Held.ABSENT
            same = path.stat().st_size == sums.size and measure(path) == sums
            return Held.READ if same else Held.DIFFERENT

    def send(
        self, name: str, file: Path, sums: Sums, *, overwrite: bool, told: Callable[[int], None]
    ) -> Sent:
        if not overwrite and (self._root / name).exists():
            raise ConfigError("published-differs", f"{self.target} got a file {name} meanwhile")
        with file.open("rb") as source, self._writing(name) as copy:
            while block := source.read(_BLOCK):
                copy.write(block)
                told(len(block))
        return Sent(sent_bytes=sums.size, parts=len(sums.parts))

    def abandon(self, name: str) -> int:
        temporary = self._temporary(name)
        with output.refusing(self._root):
            if not temporary.exists():
                return 0
            temporary.unlink()
            return 1

    def _temporary(self, name: str) -> Path:
        path = self._root / name
        return path.with_name(f".{path.name}.new")

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        """A file that gets its name at the end, once it is durable; or vanishes."""
        temporary = self._temporary(name)
        with output.refusing(self._root):
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self._root / name)
                durable.sync_folder(temporary.parent)
            finally:
                temporary.unlink(missing_ok=True)
