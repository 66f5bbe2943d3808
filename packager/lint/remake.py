"""Images made again of what is in them, with other options or contents, to see what an update then takes.

For what no change of bytes in place undoes: options of mksquashfs and mkfs.erofs. Both sides are made again,
so that they compare: files, folders and links, all of root's; devices and attributes are left out.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from ota.errors import ConfigError
from packager.lint.cost import Base
from packager.lint.draft import Draft
from packager.lint.side import Head, Side

Options: TypeAlias = tuple[str, ...]
"""Of the program that makes such an image."""


@dataclass(frozen=True, slots=True)
class Maker:
    """A program that makes images of a kind of file system.

    Attributes:
        program: its name.
        options: what it was told when an image was made, as far as that shows.
        command: what makes an image again, from the folder, the image, options, and a file with a path and a
            priority a line.
        is_able: whether a program that is here is new enough.
        limit: bytes of an image, unless told: to make larger ones takes minutes.
        keeps_order: whether files are to stand as they did, where nothing else is said; else as it likes.
    """

    program: str
    options: Callable[[Side], Options]
    command: Callable[[Path, Path, Options, Path], Sequence[str | Path]]
    is_able: Callable[[], bool] = lambda: True
    limit: int = 64 << 20
    keeps_order: bool = False

    def can_make(self, side: Side, limit: int | None) -> bool:
        """Whether the program is here, and the image not too large."""
        small = len(side.bytes) <= (self.limit if limit is None else limit)
        return small and shutil.which(self.program) is not None and self.is_able()


class Remake:
    """Makes the two sides of a comparison again.

    Args:
        folder: an empty one for all that is made.
    """

    def __init__(self, new: Side, old: Side, maker: Maker, folder: Path) -> None:
        self.new, self.old = new, old
        self.options = (maker.options(new), maker.options(old))
        self._command = maker.command
        self._keeps_order = maker.keeps_order
        self._folder = folder
        self._made = 0  # folders and images
        self._bases: dict[Options, Base] = {}

    @cached_property
    def now(self) -> int:
        """What the update takes where both are made again as they were."""
        return self.update()

    def check(self) -> None:
        """Make images of nothing.

        Raises:
            ConfigError: "tool-missing": the program cannot make one of the two.
        """
        empty = self._next("tree")
        empty.mkdir()
        for options in dict.fromkeys(self.options):
            self._make(empty, options, ()).unlink()

    def update(
        self,
        new: Options | None = None,
        old: Options | None = None,
        *,
        heads: Mapping[str, Head] | None = None,
        order: Sequence[str] | None = None,
    ) -> int:
        """What the update takes where something is else.

        Args:
            new: options that the image is made with.
            old: options that the base is made with.
            heads: how files of the image begin, by path.
            order: in which files stand in the image.
        """
        new, old = new or self.options[0], old or self.options[1]
        if old not in self._bases:
            with Draft(self._make(self._old_tree, old, self._order(self.old))) as image:
                self._bases[old] = Base(image)
        tree = self._unpack(self.new, heads) if heads else self._new_tree
        with Draft(self._make(tree, new, order or self._order(self.new))) as image:
            return self._bases[old].missing(image)

    @cached_property
    def _new_tree(self) -> Path:
        return self._unpack(self.new, {})

    @cached_property
    def _old_tree(self) -> Path:
        return self._unpack(self.old, {})

    def _order(self, side: Side) -> Sequence[str]:
        return side.order if self._keeps_order else ()

    def _next(self, kind: str) -> Path:
        self._made += 1
        return self._folder / f"{kind}{self._made}"

    def _make(self, tree: Path, options: Options, order: Sequence[str]) -> Path:
        image, priorities = self._next("image"), self._next("order")
        lines = [f"{_escaped(path)} {32767 - 65535 * at // len(order)}\n" for at, path in enumerate(order)]
        priorities.write_text("".join(lines), errors="surrogateescape")
        command = [str(word) for word in self._command(tree, image, options, priorities)]
        environment = {**os.environ, "E2FSPROGS_FAKE_TIME": "1"}
        environment.pop("SOURCE_DATE_EPOCH", None)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise ConfigError(
                "tool-missing",
                f"{command[0]} cannot make this image again: {' '.join(command)}",
                found=words[-1] if words else f"status {done.returncode}",
            )
        return image

    def _unpack(self, side: Side, heads: Mapping[str, Head]) -> Path:
        """A folder with what is in the image."""
        tree = self._next("tree")
        first: dict[int, Path] = {}  # inode -> its first path
        for path, file in side.files.items():
            place = tree / path.lstrip("/")
            if file.is_folder:
                place.mkdir(0o755)
            elif file.inode in first:
                os.link(first[file.inode], place)
            elif file.is_file:
                content, head = side.content(path), heads.get(path)
                place.write_bytes(head.data + content[head.length :] if head else content)
                first[file.inode] = place
                place.chmod(stat.S_IMODE(file.mode) | 0o400)
            elif file.target is not None:
                place.symlink_to(file.target)
        for path, file in reversed(list(side.files.items())):
            place = tree / path.lstrip("/")
            if file.is_file or file.is_folder or file.target is not None:
                os.utime(place, (file.mtime, file.mtime), follow_symlinks=False)
        return tree


def _escaped(path: str) -> str:
    return path.lstrip("/").replace("\\", "\\\\").replace(" ", "\\ ")
