"""How much memory an update takes: what `ota plan` says, `limits.memory` is held against, builds foresee.

About: `bench/install.py` and `bench/estimate.py` measure the peak of a process of its own, up to 2 MiB more
for an rdiff delta of a 512 MiB image with a window of 8 MiB (x86-64).
"""

from __future__ import annotations

from typing import Final

from ota.sync.plan import Action, Plan

# Bytes of memory.
AGENT: Final = 23 << 20  # Python, and what is loaded of us before anything is fetched
BUFFERS: Final = 4 << 20  # what a target writes behind, and a seed's block
NETWORKING: Final = 11 << 20  # requests and TLS, which are loaded when something is fetched

_STREAM: Final = 2 << 20  # librsync's two buffers, a block from the decoder, a chunk that is put together


def planned(plan: Plan) -> int:
    """Bytes that carrying out a plan takes, beside the agent itself."""
    return plan.memory + BUFFERS + (NETWORKING if plan.numbers(Action.FETCH) else 0)


def streamed(window: int) -> int:
    """Bytes that an image takes that comes through a decoder with such a window, beside the agent itself."""
    return window + _STREAM + BUFFERS + NETWORKING
