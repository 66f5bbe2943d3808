"""The script in U-Boot's language: variables of its environment, `name=value` a line.

They go into the built-in environment (CONFIG_DEFAULT_ENV_FILE), which also stands where no stored copy is
whole, and into the stored copies (mkenvimage). The shell is hush (U-Boot: "Environment Variables", "test").
"""

from __future__ import annotations

from collections.abc import Iterator

from ota.boot.table import RECOVERY_STATUS, TRIES, USTATE, UpdateState
from packager.bootscript.loader import Loader
from packager.bootscript.logic import Branch, Logic


def write(logic: Logic, loader: Loader) -> str:
    """All variables, with the values that they have in a new device."""
    variables = {
        "bootcmd": "run otakit_boot",
        "bootdelay": "0",
        **({"preboot": loader.prepare} if loader.prepare else {}),
        logic.variable: logic.slots[0],
        USTATE: str(UpdateState.OK),
        TRIES: "0",
        "otakit_boot": "; ".join(_boot(logic)),
        "otakit_save": f"if saveenv; then true; else echo otakit: not stored, so not tried; "
        f"setenv {logic.variable} ${{otakit_other}}; fi",
        "otakit_load": "; ".join(_load(logic, loader)),
        "otakit_rescue": "; ".join(_rescue(logic)),
    }
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def _boot(logic: Logic) -> Iterator[str]:
    first, second = logic.slots
    yield (
        f'if test "${{{logic.variable}}}" = {second}; then setenv otakit_other {first}; '
        f"else setenv {logic.variable} {first}; setenv otakit_other {second}; fi"
    )
    yield f'setenv otakit_state "${{{USTATE}}}"'
    yield f'if test "${{otakit_state}}" = ""; then setenv otakit_state {UpdateState.OK}; fi'
    yield (
        f'if test "${{{RECOVERY_STATUS}}}" = in_progress; '
        f"then setenv otakit_state {UpdateState.IN_PROGRESS}; fi"
    )
    # One `if` each: what a branch sets is not looked at again, since otakit_state stays as it was.
    yield "setenv otakit_done 0"
    for branch in logic.start:
        conditions = [f'test "${{otakit_done}}${{otakit_state}}" = 0{branch.state}']
        if branch.tries is not None:
            conditions.append(f'test "${{{TRIES}}}" = {branch.tries}')
        store = "; ".join(["setenv otakit_done 1", *_store(branch, logic)])
        yield f"if {' && '.join(conditions)}; then {store}; fi"
    yield "run otakit_load"
    yield "run otakit_rescue"
    yield "reset"


def _store(branch: Branch, logic: Logic) -> Iterator[str]:
    for name, value in branch.changes.items():
        yield f"setenv {name} {value}"
    if branch.to_other:
        yield f"setenv {logic.variable} ${{otakit_other}}"
        yield f"echo otakit: fell back to ${{{logic.variable}}}"
    yield "run otakit_save"


def _load(logic: Logic, loader: Loader) -> Iterator[str]:
    """Comes back only where something is missing."""
    slot = f"${{{logic.variable}}}"
    yield f"echo otakit: slot={slot} ustate=${{{USTATE}}} tries=${{{TRIES}}}"
    for value in logic.slots:
        yield (
            f'if test "{slot}" = {value}; then setenv otakit_part {loader.partitions[value]}; '
            f"setenv bootargs root={loader.roots[value]} {loader.arguments} otakit.slot={value}; fi"
        )
    load = f"load {loader.disk}:${{otakit_part}}"
    steps = [f"{load} ${{kernel_addr_r}} {loader.kernel}"]
    tree = "${fdt_addr}"
    if loader.device_tree:
        steps.append(f"{load} ${{fdt_addr_r}} {loader.device_tree}")
        tree = "${fdt_addr_r}"
    if loader.initramfs:  # the last one: ${filesize} is its length
        steps.append(f"{load} ${{ramdisk_addr_r}} {loader.initramfs}")
    ramdisk = "${ramdisk_addr_r}:${filesize}" if loader.initramfs else "-"
    yield " && ".join([*steps, f"{loader.start} ${{kernel_addr_r}} {ramdisk} {tree}"])
    yield f"echo otakit: slot {slot} cannot be loaded"


def _rescue(logic: Logic) -> Iterator[str]:
    either = " || ".join(f'test "${{otakit_state}}" = {state}' for state in logic.not_loaded)
    if either:
        yield f"if {either}; then setenv {logic.variable} ${{otakit_other}}; run otakit_load; fi"
    else:
        yield "true"
