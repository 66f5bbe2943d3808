"""U-Boot's environment through libubootenv's `fw_printenv` and `fw_setenv`.

They know flash layouts and redundant copies; one `fw_setenv` call writes the copy that is not in use
and switches to it last, so a power cut leaves the old variables or the new ones.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ota.boot import lines
from ota.errors import ConfigError, DeviceError

TIMEOUT_S: Final = 60

_NAMESPACES_SINCE: Final = (0, 3, 4)  # earlier ones would write the boot loader's own environment instead


class UBootEnvironment:
    """A `Bootloader`.

    Args:
        config: fw_env.config: where the environment and its redundant copy lie.
        namespace: of that file in YAML, instead of the boot loader's; one never written counts as empty.
    """

    def __init__(self, config: Path, namespace: str | None = None) -> None:
        self._config = config
        self._options = ("-m", namespace, "-f", "/dev/null") if namespace else ()

    def get(self, name: str) -> str | None:
        """A variable's value.

        Raises:
            DeviceError: "boot-environment": it cannot be read at all.
        """
        return self.read().get(name)

    def read(self) -> dict[str, str]:
        if self._options:
            self._prove_namespaces()
        found = self._run("fw_printenv").split("\n")
        return {
            name: value for name, separator, value in (line.partition("=") for line in found) if separator
        }

    def apply(self, changes: Mapping[str, str | None]) -> None:
        # fw_setenv skips a line "name value" without a word, so "name=value", and a look afterwards.
        script = lines.render({name: value or "" for name, value in changes.items()})
        self._run("fw_setenv", "-s", "-", script=script)
        now = self.read()
        for name, value in changes.items():
            if now.get(name) != (value or None):
                raise DeviceError(
                    "boot-environment", f"{name} did not take its value", expected=value, found=now.get(name)
                )

    def _prove_namespaces(self) -> None:
        """An earlier program warns of the option, and goes on."""
        for program in ("fw_printenv", "fw_setenv"):
            version = re.match(r"([0-9]+)\.([0-9]+)\.?([0-9]*)", self._run(program, "-V"))
            if not version or tuple(int(number or 0) for number in version.groups()) < _NAMESPACES_SINCE:
                raise ConfigError(
                    "tool-missing",
                    f"{program} does not know namespaces",
                    expected="libubootenv 0.3.4 or later",
                    found=version and version[0],
                )

    def _run(self, program: str, *arguments: str, script: bytes = b"") -> str:
        command = [program, "-c", str(self._config), *self._options, *arguments]
        try:
            done = subprocess.run(
                command,
                input=script,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError as error:
            raise ConfigError("tool-missing", program, hint="install libubootenv-tool") from error
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                "boot-environment", f"{program} does not end", found=f"{TIMEOUT_S} s"
            ) from error
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise DeviceError(
                "boot-environment", f"{program} failed: {said}", found=f"status {done.returncode}"
            )
        return done.stdout.decode(errors=lines.ANY_BYTES)
