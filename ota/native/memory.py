"""How much memory this process has, and that its threads take it from one place."""

from __future__ import annotations

import os
from pathlib import Path

from ota.native._memory import lib


def share_arena() -> None:
    """To be called before there are threads: glibc would give each its own arena, which grows by itself."""
    lib.share_arena()


def resident() -> int:
    """Bytes in memory now (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
