"""`delta`: the payload is a zchunk header; what the device does not have of the image is fetched by range.

Properties (swupdate: doc/source/delta-update.rst): `url` of the published .zck; `source`, the device to
copy from; `chain`, which must be "raw". `max-ranges`, `zckloglevel` and the like tune SWUpdate's own
downloader and mean nothing here. Ours, which SWUpdate ignores: `image-size`, and `rdiff` and `full`, which
name other files that give the image (`ota.formats.alternatives`).
"""

from __future__ import annotations

from ota import alternative
from ota.alternative import Offer
from ota.device import Device
from ota.errors import UpdateError
from ota.formats import alternatives, zchunk
from ota.formats.alternatives import Alternative
from ota.formats.selection import Description, Entry
from ota.io.readers import read_full
from ota.job import Job, Payload, plain
from ota.slotsync import Content
from ota.sync import stream


def delta(entry: Entry, payload: Payload, device: Device, description: Description) -> Job:
    """See `ota.job.Handler`."""
    url, source = _properties(entry)
    place = device.writable(entry.device)
    header = zchunk.parse_manifest(read_full(plain(entry, payload, device), zchunk.MAX_HEADER))
    described = stream.number(entry, "image-size")
    if described not in (None, header.image_size):
        raise UpdateError(
            "header-format",
            f"{entry.filename}: the chunks do not add up to the image",
            expected=f"{described} bytes",
            found=header.image_size,
        )
    offer = Offer(
        entry.label,
        str(entry.filename),
        Content(header, description.version, url),
        source,
        alternatives.parse(entry),
        frozenset(one.sha256 for other in description.entries for one in _offered(other)),
    )
    return alternative.job(offer, device, place)


def _offered(entry: Entry) -> tuple[Alternative, ...]:
    return alternatives.parse(entry) if entry.type == "delta" else ()


def _properties(entry: Entry) -> tuple[str, str | None]:
    chain = entry.property("chain")
    if chain != "raw":
        raise UpdateError("description-content", f"{entry.filename}: chain", expected="raw", found=chain)
    url = entry.property("url")
    if url is None or not url.startswith(("http://", "https://")):
        raise UpdateError("description-content", f"{entry.filename}: url", expected="http(s)://", found=url)
    if entry.offset:
        raise UpdateError("description-content", f"{entry.filename}: offset beside type delta", expected=0)
    return url, entry.property("source")
