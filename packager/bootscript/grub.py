"""The script in GRUB's language: a grub.cfg (GRUB manual: "Writing full configuration files directly").

Every variable that is saved lies in grubenv, which GRUB writes in place.
"""

from __future__ import annotations

from collections.abc import Iterator

from ota.boot.table import RECOVERY_STATUS, TRIES, USTATE, UpdateState
from packager.bootscript.loader import Loader
from packager.bootscript.logic import Branch, Logic


def write(logic: Logic, loader: Loader) -> str:
    """A whole grub.cfg."""
    lines = [
        "set timeout=0",
        "load_env",
        *_functions(logic, loader),
        *_boot(logic),
        "otakit_load",
        *_rescue(logic),
        "reboot",
    ]
    return "".join(f"{line}\n" for line in lines)


def _functions(logic: Logic, loader: Loader) -> Iterator[str]:
    yield "function otakit_save {"
    yield f"  if save_env {logic.variable} {USTATE} {TRIES}; then true"
    yield f'  else echo "otakit: not stored, so not tried"; set {logic.variable}=$otakit_other; fi'
    yield "}"
    yield "function otakit_load {"
    yield f'  echo "otakit: slot=${logic.variable} ustate=${USTATE} tries=${TRIES}"'
    for value in logic.slots:
        place = f"({loader.disk},gpt{loader.partitions[value]})"
        root = f"root={loader.roots[value]}"
        yield f'  if [ "${logic.variable}" = {value} ]; then'
        start = f'linux "{place}{loader.kernel}" {root} {loader.arguments} otakit.slot={value}'
        yield f"    if {start}; then"
        if loader.initramfs:
            yield f'      if initrd "{place}{loader.initramfs}"; then boot; fi'
        else:
            yield "      boot"
        yield "    fi"
        yield "  fi"
    yield f'  echo "otakit: slot ${logic.variable} cannot be loaded"'
    yield "}"


def _boot(logic: Logic) -> Iterator[str]:
    first, second = logic.slots
    yield f'if [ "${logic.variable}" = {second} ]; then set otakit_other={first}'
    yield f"else set {logic.variable}={first}; set otakit_other={second}; fi"
    yield f'if [ -z "${USTATE}" ]; then set {USTATE}={UpdateState.OK}; fi'
    yield f"set otakit_state=${USTATE}"
    yield f'if [ "${RECOVERY_STATUS}" = in_progress ]; then set otakit_state={UpdateState.IN_PROGRESS}; fi'
    # One `if` each: what a branch sets is not looked at again, since otakit_state stays as it was.
    yield "set otakit_done=0"
    for branch in logic.start:
        tests = f'"$otakit_done$otakit_state" = 0{branch.state}'
        if branch.tries is not None:
            tests += f' -a "${TRIES}" = {branch.tries}'
        yield f"# {branch.why}"
        yield f"if [ {tests} ]; then"
        for line in ("set otakit_done=1", *_store(branch, logic)):
            yield f"  {line}"
        yield "fi"


def _store(branch: Branch, logic: Logic) -> Iterator[str]:
    for name, value in branch.changes.items():
        yield f"set {name}={value}"
    if branch.to_other:
        yield f"set {logic.variable}=$otakit_other"
        yield f'echo "otakit: fell back to ${logic.variable}"'
    yield "otakit_save"


def _rescue(logic: Logic) -> Iterator[str]:
    either = " -o ".join(f'"$otakit_state" = {state}' for state in logic.not_loaded)
    if either:
        yield f"if [ {either} ]; then set {logic.variable}=$otakit_other; otakit_load; fi"
