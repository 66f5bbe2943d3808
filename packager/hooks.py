"""Programs of the product that run before and after a build: `[hooks]` of a release file.

In their environment they find OTAPACK_NAME, OTAPACK_VERSION, OTAPACK_RELEASE (the release file) and
OTAPACK_FOLDER (where the output will appear); afterwards also OTAPACK_STAGE (where the finished output lies
until then) and OTAPACK_PACKAGE (the package in there). They start in the release file's folder, and what they
print goes to stderr.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from ota.settings import Table

Command = Sequence[str]

_STDERR: Final = 2  # a file descriptor


@dataclass(frozen=True, slots=True)
class Hooks:
    """Programs with their arguments, in order."""

    before: tuple[Command, ...] = ()
    after: tuple[Command, ...] = ()


def read(table: Table) -> Hooks:
    """`before` and `after`."""
    hooks = Hooks(table.commands("before"), table.commands("after"))
    table.done()
    return hooks


def run(commands: Sequence[Command], folder: Path, variables: Mapping[str, str | Path]) -> None:
    """Run one after the other, in `folder`.

    Raises:
        ConfigError: hook-failed, or tool-missing where there is no such program.
    """
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    for command in commands:
        try:
            # its stdout is for the verb's own answer
            status = subprocess.run(command, cwd=folder, env=environment, stdout=_STDERR).returncode
        except OSError as error:
            raise ConfigError(
                "tool-missing", f"the hook {command[0]!r} cannot be started", found=error.strerror
            ) from error
        if status:
            raise ConfigError(
                "hook-failed",
                f"the hook {' '.join(command)!r}",
                expected="exit status 0",
                found=f"signal {-status}" if status < 0 else status,
            )
