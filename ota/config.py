"""device.toml: who this device is, where its slots lie, whom it trusts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ota import acceptance as acceptances
from ota import board as boards
from ota import commands, settings
from ota import health as healths
from ota import network as networks
from ota.acceptance import Acceptance
from ota.board import Board, Slot
from ota.boot.environments import ENVIRONMENTS, NAMESPACE, NAMESPACED
from ota.commands import Commands
from ota.errors import ConfigError
from ota.health import Health
from ota.io.network import Network
from ota.io.target import same_file
from ota.io.watchdog import Watchdog
from ota.trust.signature import Trust

DEFAULT_PATH: Final = Path("/etc/otakit/device.toml")
HWREVISION: Final = Path("/etc/hwrevision")

USB: Final = "usb"  # in [boot] packages: whatever is plugged in

TOOLS: Final = ("2022.12", "2024.12", "2025.12")  # releases of SWUpdate with progress messages of their own


@dataclass(frozen=True, slots=True)
class Vars:
    """Where the `vars` of packages are kept."""

    environment: str  # one of NAMESPACED
    path: Path
    namespace: str | None = None  # of packages that name none


@dataclass(frozen=True, slots=True)
class Config:
    """One device's configuration, defaults filled in."""

    board: Board  # as packages speak of it
    paths: Mapping[str, Path]  # slot name -> where it lies on this very device
    revision: str
    state_dir: Path
    running: Slot
    environment: str  # one of ENVIRONMENTS
    environment_path: Path
    reboot: tuple[str, ...]  # the command that ends a successful installation; empty: none
    trust: Trust
    network: Network
    memory: int  # bytes
    seeds: tuple[Path, ...] = ()  # what else can be copied from, the preferred first
    service_folder: Path | None = None  # of the service's sockets; None: where SWUpdate's tools look
    service_tools: str = "2024.12"  # one of TOOLS
    script_s: int = 600  # seconds that a script of a package may take
    decryption_key: Path | None = None
    acceptance: Acceptance = field(default_factory=Acceptance)  # of versions
    vars: Vars = field(default_factory=lambda: Vars("file", Path("/var/lib/otakit/vars")))
    commands: Commands = field(default_factory=Commands)
    packages: tuple[str, ...] = ()  # where `ota boot` looks for one: folders, URLs, USB
    health: Health = field(default_factory=Health)
    watchdog: Watchdog | None = None


def load(path: Path) -> Config:
    """Read a device's configuration.

    Raises:
        ConfigError: naming file and key.
    """
    table = settings.read(path)
    board = boards.load(table.text("board"), path.parent)
    paths = _paths(table, board)
    revision = table.optional_text("revision") or _revision_from(HWREVISION)
    state_dir = table.file("state_dir", "/var/lib/otakit")
    running = _running(table.table("running"), board.slots, paths)
    environment, environment_path, reboot, packages = _boot(table.table("boot"), board)
    service_folder, service_tools = _service(table.table("service"))
    memory, script_s = _limits(table.table("limits"))
    config = Config(
        board=board,
        paths=paths,
        revision=revision,
        state_dir=state_dir,
        running=running,
        environment=environment,
        environment_path=environment_path,
        reboot=reboot,
        packages=packages,
        trust=_trust(table.table("trust")),
        network=networks.parse(table.table("network")),
        memory=memory,
        script_s=script_s,
        decryption_key=_decrypt(table.table("decrypt")),
        acceptance=acceptances.parse(table.table("versions")),
        vars=_vars(table.table("vars"), state_dir),
        commands=commands.parse(table.table("commands"), script_s),
        health=healths.parse(table.table("health")),
        watchdog=_watchdog(table.table("watchdog")),
        seeds=table.files("seeds"),
        service_folder=service_folder,
        service_tools=service_tools,
    )
    table.done()
    return config


def _paths(table: settings.Table, board: Board) -> dict[str, Path]:
    """The board's devices, or what this file says instead."""
    paths = {slot.name: Path(slot.device) for slot in board.slots}
    for name, values in table.named_tables("slots"):
        if name not in paths:
            raise ConfigError(
                "config-key", f"{table.path}: slots.{name}", expected=f"one of {', '.join(paths)}", found=name
            )
        paths[name] = values.file("device")
        values.done()
    return paths


def _running(table: settings.Table, slots: tuple[Slot, ...], paths: Mapping[str, Path]) -> Slot:
    name = table.optional_text("slot")
    table.done()
    for slot in slots:
        if slot.name == name or (name is None and _is_root(paths[slot.name])):
            return slot
    if name is None:
        raise ConfigError(
            "config-value",
            f"{table.path}: no slot is the root file system",
            expected=" or ".join(str(path) for path in paths.values()),
            hint="name the running one: [running] slot",
        )
    raise ConfigError(
        "config-value", f"{table.path}: running.slot", expected=f"one of {', '.join(paths)}", found=name
    )


def _is_root(device: Path) -> bool:
    """Whether the kernel's root file system lies there: by device number, or by `root=`."""
    if not device.is_block_device():
        return False
    root = re.search(r"(?:^|\s)root=(/dev/\S+)", Path("/proc/cmdline").read_text())
    return device.stat().st_rdev == Path("/").stat().st_dev or bool(root and same_file(device, Path(root[1])))


def _boot(table: settings.Table, board: Board) -> tuple[str, Path, tuple[str, ...], tuple[str, ...]]:
    environment = table.text("environment", board.environment)
    default = {"uboot": "/etc/fw_env.config", "grub": "/boot/grub/grubenv"}.get(environment)
    if environment == board.environment:
        default = board.environment_path or default
    path = table.file("path", default)
    reboot, packages = table.texts("reboot"), table.texts("packages")
    table.done()
    _check_one_of(ENVIRONMENTS, environment, f"{table.path}: boot.environment")
    for package in packages:
        if package != USB and not package.startswith(("/", "https://")):
            raise ConfigError(
                "config-value",
                f"{table.path}: boot.packages",
                expected=f'"{USB}", a folder\'s absolute path, or https://',
                found=package,
            )
    return environment, path, reboot, packages


def _watchdog(table: settings.Table) -> Watchdog | None:
    device = table.optional_file("device")
    timeout_s, limit_s = table.integer("timeout_s", 60), table.integer("limit_s", 900)
    keep = table.flag("keep", False)
    table.done()
    for name, value in (("timeout_s", timeout_s), ("limit_s", limit_s)):
        if value <= 0:
            raise ConfigError(
                "config-value", f"{table.path}: watchdog.{name}", expected="seconds", found=value
            )
    return Watchdog(device, timeout_s, limit_s, keep) if device else None


def _vars(table: settings.Table, state_dir: Path) -> Vars:
    environment = table.text("environment", "file")
    _check_one_of(NAMESPACED, environment, f"{table.path}: vars.environment")
    default = {"file": str(state_dir / "vars"), "uboot": "/etc/fw_env.config"}.get(environment)
    path, namespace = table.file("path", default), table.optional_text("namespace")
    table.done()
    if namespace is not None and not NAMESPACE.fullmatch(namespace):
        raise ConfigError(
            "config-value", f"{table.path}: vars.namespace", expected=NAMESPACE.pattern, found=namespace
        )
    return Vars(environment, path, namespace)


def _service(table: settings.Table) -> tuple[Path | None, str]:
    folder = table.optional_file("folder")
    tools = table.text("tools", "2024.12")
    table.done()
    _check_one_of(TOOLS, tools, f"{table.path}: service.tools")
    return folder, tools


def _check_one_of(words: Sequence[str], found: str, where: str) -> None:
    if found not in words:
        raise ConfigError("config-value", where, expected=f"one of {', '.join(words)}", found=found)


def _trust(table: settings.Table) -> Trust:
    trust = Trust(certificates=table.files("certificates"), public_keys=table.files("public_keys"))
    table.done()
    if not (trust.certificates or trust.public_keys):
        raise ConfigError(
            "config-key", f"{table.path}: trust", expected="certificates or public_keys", found="neither"
        )
    return trust


def _limits(table: settings.Table) -> tuple[int, int]:
    memory, script_s = table.size("memory", "48M"), table.integer("script_s", 600)
    table.done()
    if script_s <= 0:
        raise ConfigError(
            "config-value", f"{table.path}: limits.script_s", expected="seconds", found=script_s
        )
    return memory, script_s


def _decrypt(table: settings.Table) -> Path | None:
    key = table.optional_file("key")
    table.done()
    return key


def _revision_from(path: Path) -> str:
    """The second word of /etc/hwrevision, as SWUpdate reads it."""
    try:
        words = path.read_text().split()
    except OSError:
        words = []
    if len(words) < 2:
        raise ConfigError("config-key", "revision is not known", expected=f"revision, or two words in {path}")
    return words[1]
