"""What a power cut may leave and what not: judged on the disk, from outside, by boot loaders' rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bootenv import NoEnvironmentError
from small import Device

from ota.interfaces import Range


def after_cut(device: Device) -> Iterator[str]:
    """Violations: a boot loader would not find the old system or the new one, whole."""
    try:
        variables = device.variables()
    except NoEnvironmentError as error:
        yield f"no boot environment: {error}"
        return
    yield from _started(device, variables.get("boot_slot", ""))


def after_command(device: Device, expected: Mapping[str, str]) -> Iterator[str]:
    """Violations: what a command that said it was done has to leave, `expected` in the boot environment."""
    yield from after_cut(device)
    variables = device.variables()
    if not expected.items() <= variables.items():
        yield f"the command is done, and the boot environment says {variables}"


def fetched_twice(held: Iterable[Range], asked: Iterable[Range]) -> Iterator[str]:
    """Violations: bytes of a published file that were asked for although they were there, or twice.

    Args:
        held: what was on the medium when the power came back.
        asked: since then.
    """
    covered = sorted([*held])
    for wanted in asked:
        if any(wanted.start < known.stop and known.start < wanted.stop for known in covered):
            yield f"{wanted} was fetched twice"
        covered.append(wanted)


def _started(device: Device, slot: str) -> Iterator[str]:
    releases = {"a": device.factory.one, "b": device.factory.two}
    if slot not in releases:
        yield f"the boot loader is told to start {slot!r}"
    elif device.digest(slot) != releases[slot].digest:
        yield f"slot {slot} is what the boot loader starts, and is not release {releases[slot].version}"
