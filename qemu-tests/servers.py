"""An HTTPS server on this machine's loopback, which guests see at 10.0.2.2; a test CA has signed for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Self

from ota.interfaces import Range
from ota.tests.server import Server

HOST: Final = "10.0.2.2"  # of QEMU's user network (qemu: docs/system/devices/net.rst)


class Origin:
    """Serves `root` until closed.

    Args:
        folder: for its own files.
        nginx: the program.
    """

    def __init__(self, folder: Path, root: Path, nginx: Path) -> None:
        self._server = Server(folder, root, nginx, names=("localhost", HOST))
        self.ca = self._server.ca
        self.url = f"https://{HOST}:{self._server.port}/"  # in a guest

    def ranges(self) -> list[Range]:
        """Of the files, all that was asked for so far, in order of the answers."""
        asked = (request.ranges for request in self._server.requests())
        pairs = (pair for ranges in asked for pair in re.findall(r"(\d+)-(\d+)", ranges))
        return [Range(int(first), int(last) + 1) for first, last in pairs]

    def sent(self) -> int:
        """Bytes of bodies so far."""
        return sum(request.body for request in self._server.requests())

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
