"""What is compressed together changes together: does the update shrink where less is?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from packager.lint.findings import Finding
from packager.lint.pair import Found
from packager.lint.remake import Options, Remake

WORTH: Final = 0.5  # of the update: what saves less is a matter of taste, since the image grows


@dataclass(frozen=True, slots=True)
class Step:
    """One way to compress less together.

    Attributes:
        change: of what the image is made with.
        is_sure: it is a finding whatever it saves.
    """

    finding: Finding
    change: Callable[[Options], Options]
    is_sure: bool = False


def worthwhile(steps: Sequence[Step], told: Options, remake: Remake | None) -> Iterator[Found]:
    """The steps that save the larger part of what is left after those before them.

    Args:
        told: what both sides are made with at first.
    """
    now = remake.update(told, told) if remake and steps else 0
    for step in steps:
        if remake is None:
            if step.is_sure:
                yield Found(step.finding)
            continue
        changed = step.change(told)
        then = remake.update(changed, changed)
        if step.is_sure or now - then > WORTH * now:
            yield Found(replace(step.finding, cost_bytes=now - then))
            told, now = changed, then
