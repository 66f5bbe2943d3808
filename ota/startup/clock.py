"""Whether the clock can be right: many boards start in 1970, and certificates are judged by it."""

from __future__ import annotations

import time
from typing import Final

from ota.errors import DeviceError
from ota.record import Record

RELEASED: Final = 1_735_689_600  # 2025-01-01: this agent did not exist before


_SLACK_S: Final = 86_400  # a clock that keeps local time is behind by less; no certificate is that new


def floor(record: Record | None) -> int:
    """Seconds since 1970 that it must be at least.

    Of what the state folder says only the time of the last update counts: its signature was proved then, so
    the clock was within the time of a certificate. Another file may come from a time when it ran ahead.
    """
    return max(RELEASED, record.at - _SLACK_S if record and not record.is_rollback else 0)


def check(least: int) -> None:
    """Refuse a clock that is behind.

    Raises:
        DeviceError: "clock-wrong".
    """
    now = time.time()
    if now < least:
        raise DeviceError(
            "clock-wrong",
            "the clock is behind, so no certificate can be judged",
            expected=f">= {_text(least)}",
            found=_text(now),
            hint="set the clock",
        )


def _text(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
