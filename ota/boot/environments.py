"""Where variables are kept: the boot loader's own environment, and the namespaces beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ota.boot.file import FileEnvironment
from ota.boot.grub import GrubEnvironment
from ota.boot.uboot import UBootEnvironment
from ota.interfaces import Bootloader

NAMESPACED: Final = ("file", "uboot")  # GRUB has one environment, and no room in it
ENVIRONMENTS: Final = (*NAMESPACED, "grub")
NAMESPACE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")  # becomes part of a file's name


def open_environment(kind: str, path: Path, namespace: str | None = None) -> Bootloader:
    """An environment, or a namespace of it.

    Args:
        kind: one of ENVIRONMENTS.
        path: uboot: the configuration of fw_printenv; grub: the grubenv; file: the file, whose name gets the
            namespace appended.
        namespace: as NAMESPACE has it; of the kinds in NAMESPACED.
    """
    assert kind in ENVIRONMENTS, kind
    assert namespace is None or NAMESPACE.fullmatch(namespace), namespace
    assert namespace is None or kind in NAMESPACED, kind
    if kind == "grub":
        return GrubEnvironment(path)
    if kind == "uboot":
        return UBootEnvironment(path, namespace)
    return FileEnvironment(path.with_name(f"{path.name}.{namespace}") if namespace else path)
