"""The delta handler (SWUpdate: doc/source/delta-update.rst), with a web server beside the device."""

from __future__ import annotations

from typing import Final

from ota.tests.conformance.case import BOOT, PARTITIONS, SLOT, SLOT_SIZE, Case, Rest, Stock, images, noise

URL: Final = "http://127.0.0.1:8080/new.zck"
_EARLIER: Final = "refused before the first write; stock finds out half way"

_OLD: Final = noise(PARTITIONS[1].node, PARTITIONS[1].size)
# Of the running slot, moved by no multiple of anything; noise that is nowhere, twice; zeros.
NEW: Final = _OLD[1_000_001:2_500_000] + 2 * noise("new", 300_000) + bytes(500_000)


def _delta(name: str, properties: str, image: bytes = NEW, more: str = "", **rest: Rest) -> Case:
    """`a` is the header of the .zck that zck makes of the image."""
    text = (
        f'{{ filename = "a"; sha256 = "@a"; type = "delta"; device = "{SLOT}"; {more} '
        f"properties: {{ {properties} }}; }}"
    )
    return Case("delta", name, images(text), {}, delta=image, **rest)


_FROM_A: Final = f'url = "{URL}"; chain = "raw"; source = "/dev/mmcblk0p2"; zckloglevel = "error";'

DELTAS: Final = (
    _delta("plain", _FROM_A),
    _delta("one range a request", _FROM_A + ' max-ranges = "1";'),
    _delta("source-size", _FROM_A + ' source-size = "1048576";'),
    _delta("source is the slot itself", _FROM_A.replace("p2", "p3")),
    _delta("nothing in common", _FROM_A, noise("other", 700_001)),
    _delta("fills the slot", _FROM_A, NEW + noise("more", SLOT_SIZE - len(NEW))),
    _delta("chain is delta", _FROM_A.replace('"raw"', '"delta"'), stock=Stock.REFUSED, code="description-content",
           differs=(BOOT,), reason=_EARLIER),
    _delta("no chain", _FROM_A.replace('chain = "raw";', ""), stock=Stock.REFUSED, code="description-content",
           differs=(BOOT,), reason=_EARLIER),
    _delta("no url", _FROM_A.replace(f'url = "{URL}";', ""), stock=Stock.REFUSED, code="description-content",
           differs=(BOOT,), reason=_EARLIER),
    _delta("no such file", _FROM_A.replace("new.zck", "none.zck"), stock=Stock.REFUSED, code="http-status",
           differs=(BOOT,), reason=_EARLIER),
)  # fmt: skip
