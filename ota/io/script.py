"""Programs that a package brings along or names, called as SWUpdate calls them: through /bin/sh.

So their arguments are text that the shell splits and expands (swupdate: core/pctl.c, __run_cmd). It is
signed, as the program is. Lines for $SWUPDATE_INFO_FD and $SWUPDATE_WARN_FD are logged like all others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ota.errors import UpdateError
from ota.io import program

SHELL: Final = "/bin/sh"

_DESCRIPTORS: Final = {"SWUPDATE_INFO_FD": "1", "SWUPDATE_WARN_FD": "2"}


def run(path: Path, arguments: str, *, timeout_s: float, feed: Iterable[bytes] = ()) -> None:
    """Run a program that must succeed.

    Args:
        arguments: as a shell reads them.
        timeout_s: seconds that it may take.
        feed: its standard input.

    Raises:
        UpdateError: "script-failed".
        ConfigError: "tool-missing": there is no shell.
        OtaError: what `feed` raises.
    """
    ended = program.run(
        [SHELL, "-c", f'"$0" {arguments}', path],
        timeout_s=timeout_s,
        feed=feed,
        environment={**os.environ, **_DESCRIPTORS},
        name=path.name,
    )
    if ended.status != 0:
        raise UpdateError(
            "script-failed", f"{path.name} {arguments}".strip(), expected="status 0", found=str(ended)
        )
