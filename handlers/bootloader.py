"""`bootloader`, formerly `uboot`: the payload is a file of variables for the boot loader, set at the commit.

They go before those of `bootenv` in the sw-description, and those of a later file before an earlier one's;
with the property `nooverride` = "true" it is the other way round (swupdate: handlers/boot_handler.c).
"""

from __future__ import annotations

from ota.device import Device
from ota.formats import variables
from ota.formats.selection import Description, Entry
from ota.io.readers import read_full
from ota.job import Job, Payload, plain


def bootloader(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    data = read_full(plain(entry, payload, device), variables.MAX_FILE + 1)
    found = variables.parse(data, str(entry.filename))
    overrides = entry.property("nooverride") not in ("true", "TRUE")
    if not overrides:
        found.reverse()  # within one file, too, what is said first stays
    return Job(bootenv={name: value or None for name, value in found}, overrides=overrides)
