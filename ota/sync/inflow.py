"""Bring a target to its manifest by an image that comes as a stream: a patched base, or the image itself.

Each chunk is proved before it is written; what is there already, or all zero, is not written. At the end the
whole image is read back from the medium and proved again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from ota.errors import DeviceError, UpdateError
from ota.formats.zchunk import Header
from ota.interfaces import BlockTarget, Event, Progress
from ota.sync import plan as planning
from ota.sync.execute import damaged
from ota.sync.plan import Action, Plan


class Inflow:
    """An image on its way into a target.

    Args:
        plan: of a target without seeds: what it would copy or fetch comes from the stream.

    Attributes:
        written: bytes so far.
    """

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._header = plan.header
        self._kept = set(plan.numbers(Action.KEEP))
        self._zero = set(plan.numbers(Action.ZERO))
        self._progress = progress
        self.written = 0

    def write(self, blocks: Iterable[bytes], target: BlockTarget) -> None:
        """Write what is not there yet, and read back all of it.

        Args:
            blocks: the image from its start, in pieces of any length.

        Raises:
            UpdateError: "result-mismatch": the stream is not the image; only right chunks were written.
            DeviceError: "slot-write"; "slot-damaged": the slot does not hold what was written or kept.
        """
        header = self._header
        for number, data in _proved(blocks, header):
            if number not in self._kept:
                self._put(number, data, target)
            self._progress(Event("write", header.offset(number + 1), header.image_size))
        target.sync()
        if bad := damaged(header, target, self._progress):
            raise DeviceError(
                "slot-damaged",
                f"the slot does not hold what it should at {header.offset(bad[0])}",
                expected=header.digest(bad[0]).hex(),
            )

    def _put(self, number: int, data: bytes, target: BlockTarget) -> None:
        if number in self._zero:
            target.zero(self._header.offset(number), len(data))
        else:
            target.write_at(self._header.offset(number), data)
        self.written += len(data)


def _proved(blocks: Iterable[bytes], header: Header) -> Iterator[tuple[int, bytes]]:
    """Cut a stream into the chunks of a manifest: (number, bytes)."""
    held = bytearray()
    number = 0
    for block in blocks:
        held += block
        while number < len(header) and len(held) >= (size := planning.length(header, number)):
            data = bytes(held[:size])
            if hashlib.sha256(data).digest() != header.digest(number):
                raise _mismatch(header.offset(number), header.digest(number).hex(), "other bytes")
            yield number, data
            del held[:size]
            number += 1
        if number == len(header) and held:
            raise _mismatch(header.image_size, "its end", "more bytes")
    if number < len(header):
        raise _mismatch(header.offset(number) + len(held), f"{header.image_size} bytes", "its end")


def _mismatch(offset: int, expected: str, found: str) -> UpdateError:
    what = f"the image that came out is not the one that is described, at {offset}"
    return UpdateError("result-mismatch", what, expected=expected, found=found)
