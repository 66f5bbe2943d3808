"""`emmc_boot` and `emmc_boot_toggle`: which hardware boot partition of an eMMC is started from.

swupdate: handlers/emmc_csd_handler.c. `device` is the boot partition, /dev/mmcblk0boot1, or for the toggle
the eMMC itself, /dev/mmcblk0. It is done when everything was installed; where the update fails after that,
the register becomes what it was.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ota.device import Device
from ota.errors import DeviceError, UpdateError
from ota.formats.selection import Description, Entry
from ota.io import emmc
from ota.job import Job, Payload

_OTHER: Final = {emmc.BOOT_0: emmc.BOOT_1, emmc.BOOT_1: emmc.BOOT_0}

_log = logging.getLogger(__name__)


def emmc_boot(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    match = re.fullmatch("(/.+)boot([01])", entry.device or "")
    if not match:
        raise UpdateError(
            "description-content",
            f"{entry.label}: device",
            expected="a boot partition such as /dev/mmcblk0boot1",
            found=entry.device,
        )
    enable = (emmc.BOOT_0, emmc.BOOT_1)[int(match[2])]
    return _job(Path(match[1]), lambda before: enable)


def emmc_boot_toggle(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    if not entry.device:
        raise UpdateError("description-content", f"{entry.label}: a device is missing")
    whole = Path(entry.device)
    before = emmc.enabled(emmc.config(whole))
    if before == emmc.USER_AREA:
        _log.warning("%s starts from its user area, and that stays so", whole)
    elif before not in _OTHER:
        raise DeviceError(
            "emmc-register", f"no boot partition of {whole} is enabled", expected="1, 2 or 7", found=before
        )
    return _job(whole, lambda before: _OTHER.get(before, before))


def _job(whole: Path, choose: Callable[[int], int]) -> Job:
    """
    Args:
        choose: from what is enabled, what shall be.
    """
    emmc.config(whole)
    replaced: list[int] = []

    def switch() -> None:
        before = emmc.config(whole)
        replaced.append(before)
        emmc.set_config(whole, emmc.starting(before, choose(emmc.enabled(before))))

    def failed() -> None:
        for before in replaced:
            emmc.set_config(whole, before)

    return Job(switch=switch, failed=failed)
