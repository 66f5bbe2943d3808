"""What a sw-description can ask for that this program does not do, by the name of the feature.

It is refused when the description is parsed, before anything is written. What SWUpdate itself knows:
swupdate: doc/source/handlers.rst and sw-description.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from ota.errors import UpdateError

# A `type`, and the feature behind it.
_TYPES: Final[Mapping[str, str]] = {
    "lua": "Lua",
    **dict.fromkeys(("ubivol", "ubipartition", "ubiswap"), "UBI"),
    **dict.fromkeys(("flash", "flash-hamming1"), "raw flash (MTD)"),
    "ssblswitch": "second-stage boot loaders in raw flash",
    **dict.fromkeys(("btrfs", "btrfs-receive"), "btrfs subvolumes"),
    "remote": "handlers in other processes",
    "swuforward": "forwarding to other devices",
    "ucfw": "microcontrollers on serial lines",
}
_DOCKER: Final = "docker_"  # the start of eleven types
# Attributes of an entry that name a Lua function.
LUA_ATTRIBUTES: Final = ("hook", "preinstall", "postinstall")


def refuse_type(kind: str, where: str) -> None:
    """Refuse a `type` that is known, and not done here.

    Raises:
        UpdateError: "feature-absent".
    """
    feature = "Docker" if kind.startswith(_DOCKER) else _TYPES.get(kind)
    if feature:
        refuse(feature, f"{where}: type {kind!r}")


def refuse(feature: str, where: str) -> NoReturn:
    """Raise UpdateError("feature-absent")."""
    raise UpdateError("feature-absent", f"{where} needs {feature}", hint="this program does not have it")
