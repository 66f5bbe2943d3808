"""A slot against its manifest: what differs, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

from ota import lock, slotsync
from ota.board import Slot
from ota.device import Device
from ota.errors import ConfigError, DeviceError
from ota.formats import zchunk
from ota.interfaces import Cost
from ota.io.target import Target
from ota.slotsync import Content
from ota.sync import damage
from ota.sync.execute import damaged
from ota.sync.stream import Image

Answer = dict[str, object]


def verify(device: Device, name: str | None, answer: Answer, *, repair: bool, in_full: bool) -> None:
    """Prove every chunk of a slot, or of each slot whose manifest is known.

    Args:
        answer: says what was found, also where that is an error.
        in_full: list the damage for programs, not for people.

    Raises:
        DeviceError: "slot-unknown", "slot-no-manifest"; "slot-damaged", where it was not mended.
    """
    known = [slot for slot in device.board.slots if device.manifests.get(slot.name)]
    slots = [device.slot(name)] if name else known
    if not slots:
        raise DeviceError("slot-no-manifest", "no slot's manifest is known", hint="ota adopt SLOT HEADER")
    results: dict[str, Answer] = {}
    answer["slots"] = results
    for slot in slots:
        header = _manifest(device, slot)
        results[slot.name] = {}
        _verify(device, slot, header, results[slot.name], repair=repair, in_full=in_full)
    for name, result in results.items():
        if result["damaged_chunks"] and not result["repaired"]:
            raise DeviceError(
                "slot-damaged",
                f"slot {name!r} differs from its manifest",
                expected=f"{result['chunks']} chunks",
                found=f"{result['damaged_chunks']} damaged, the first at {result['first_damage']}",
                hint=None if name == device.config.running.name else "ota verify --repair",
            )


def adopt(device: Device, name: str, path: Path, version: str, url: str) -> Answer:
    """Take a zchunk header (or a .zck) as the manifest of a slot that something else wrote.

    Raises:
        DeviceError: "slot-unknown", "slot-size"; "slot-damaged": the slot holds nothing of that image.
        ConfigError: "file-missing".
    """
    slot = device.slot(name)
    header = zchunk.parse_manifest(_read_header(path))
    with lock.held(device.config.state_dir), Target(device.path(slot)) as target:
        Image(header.image_size, None).check_fits(target, 0, f"slot {slot.name!r}")
        bad = damaged(header, target, device.progress)
        if len(bad) == len(header) > 0:
            raise DeviceError(
                "slot-damaged",
                f"slot {slot.name!r} holds nothing of that image",
                expected=f"{len(header)} chunks",
                found="0",
            )
        device.manifests.commit(slot.name, header, version, url)
    return {"slot": slot.name, "chunks": len(header), "damaged_chunks": len(bad)}


def _manifest(device: Device, slot: Slot) -> zchunk.Header:
    header = device.manifests.get(slot.name)
    if header is None:
        raise DeviceError(
            "slot-no-manifest",
            f"the manifest of slot {slot.name!r} is not known",
            hint="ota adopt SLOT HEADER",
        )
    return header


def _verify(
    device: Device, slot: Slot, header: zchunk.Header, answer: Answer, *, repair: bool, in_full: bool
) -> None:
    with ExitStack() as opened:
        target = opened.enter_context(Target(device.path(slot)))
        bad = damaged(header, target, device.progress)
        others = list(_others(device, slot, opened)) if bad else []
        report = damage.report(header, bad, target, others)
    answer |= {
        "chunks": len(header),
        "damaged_chunks": len(bad),
        "verified_bytes": header.image_size,
        "first_damage": header.offset(bad[0]) if bad else None,
        "repaired": False,
        **(report.to_json() if in_full else report.to_text()),
    }
    if bad and repair:
        with lock.held(device.config.state_dir):
            answer |= asdict(_repair(device, slot, header, bad))
        answer["repaired"] = True


def _others(device: Device, slot: Slot, opened: ExitStack) -> Iterator[tuple[zchunk.Header, Target]]:
    """The other slots whose manifests are known."""
    for other in device.board.slots:
        manifest = device.manifests.get(other.name)
        if other != slot and manifest and device.path(other).exists():
            yield manifest, opened.enter_context(Target(device.path(other)))


def _repair(device: Device, slot: Slot, header: zchunk.Header, bad: list[int]) -> Cost:
    """Mend a slot from the running one, else from where its image was published."""
    record = device.manifests.record(slot.name)
    content = Content(header, record.version if record else "", record.url if record else "")
    job = slotsync.repair(device, device.writable(slot.device), content, bad)
    with closing(job):
        job.check()
        return job.run()


def _read_header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(zchunk.MAX_HEADER)
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error
