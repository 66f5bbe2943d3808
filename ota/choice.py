"""Which method brings an image here with the fewest bytes: zchunk as planned, or an alternative to it.

An alternative counts where its download is smaller, its decoder fits `limits.memory` and, for an rdiff delta,
the state folder has room for it and the running slot was proved to begin with its base. Everything else is
zchunk's: it needs no exact base. Why an alternative is not taken is said in the log.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ota.config import Config
from ota.device import Device
from ota.errors import DeviceError
from ota.formats.alternatives import Alternative, Method
from ota.interfaces import Event, Progress
from ota.io.spool import Spool
from ota.io.target import Target
from ota.sync import footprint

_log = logging.getLogger(__name__)


def choose(label: str, offered: Sequence[Alternative], planned: int, device: Device) -> Alternative | None:
    """The cheapest alternative that can be applied here.

    Args:
        label: of the entry, for people.
        planned: bytes that zchunk would fetch.

    Returns:
        None: nothing is cheaper than zchunk.
    """
    cheaper = [one for one in offered if price(one, device.config.state_dir) < planned]
    possible = [one for one in cheaper if not _is_refused(label, one, device.config)]
    wanted = [one.base for one in possible if one.base]
    bases = _holding(wanted, device)
    proved = [one for one in possible if one.base is None or one.base in bases]
    if wanted and not bases:
        _log.info(
            "%s: slot %s differs from what the rdiff delta was made from: zchunk is considered instead",
            label,
            device.config.running.name,
        )
    if not proved:
        return None
    chosen = min(proved, key=lambda one: price(one, device.config.state_dir))
    _log.info(
        "%s: %s, %d bytes; zchunk would fetch %d",
        label,
        chosen.method,
        price(chosen, device.config.state_dir),
        planned,
    )
    return chosen


def price(one: Alternative, state_dir: Path) -> int:
    """Bytes that are left to fetch of it."""
    return one.size - (spool(one, state_dir).held if one.method is Method.RDIFF else 0)


def spool(one: Alternative, state_dir: Path) -> Spool:
    """Where its file is kept until it is applied."""
    return Spool(state_dir, one.size, one.sha256)


def _is_refused(label: str, one: Alternative, config: Config) -> bool:
    memory = footprint.AGENT + footprint.streamed(one.window)
    if memory > config.memory:
        _log.info(
            "%s: no %s: it takes %d bytes of memory, and the limit is %d",
            label,
            one.method,
            memory,
            config.memory,
        )
        return True
    if one.method is Method.RDIFF and not spool(one, config.state_dir).has_room():
        _log.info("%s: no rdiff: no space in %s for %d bytes", label, config.state_dir, one.size)
        return True
    return False


def _holding(bases: Collection[tuple[str, int]], device: Device) -> set[tuple[str, int]]:
    """Of these (sha256, bytes), those that the running slot begins with; it is read once for all of them."""
    sizes = {size for _, size in bases}
    try:
        found = _digests(device.path(device.config.running), sizes, device.progress) if sizes else {}
    except DeviceError as error:
        _log.warning("not patched: %s", error)
        return set()
    return {(digest, size) for digest, size in bases if found.get(size) == digest}


def _digests(path: Path, sizes: Collection[int], progress: Progress) -> Mapping[int, str]:
    """Length -> sha256 of so many bytes from the start, for lengths that there are."""
    whole = hashlib.sha256()
    found = {}
    with Target(path) as slot:
        start, last = 0, max((size for size in sizes if size <= slot.size), default=0)
        for stop in sorted(size for size in sizes if size <= slot.size):
            for block in slot.scan(start, stop):
                whole.update(block)
                start += len(block)
                progress(Event("base", start, last))
            found[stop] = whole.hexdigest()
    return found
