"""`ota`: the device's command line, and the composition root of the agent.

Results go to stdout, everything else to stderr. Only `main` turns errors into exit statuses. A verb loads
what it needs: small boards take seconds for all of it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from ota import config as configuration
from ota import settings
from ota.acceptance import Rules
from ota.boot.environments import open_environment
from ota.config import Config
from ota.device import Device
from ota.errors import FAMILIES, ConfigError, DeviceError, OtaError
from ota.interfaces import Bootloader, Event, Progress, Reader
from ota.native.memory import resident, share_arena
from ota.progress import Style, reporter
from ota.sync.manifests import Manifests

if TYPE_CHECKING:
    from ota.decision import Update
    from ota.service.daemon import Watch
    from ota.service.messages import Request

Answer = dict[str, object]


class Verb(StrEnum):
    """What `ota` does."""

    INSTALL = "install"
    PLAN = "plan"
    STATUS = "status"
    VERIFY = "verify"
    ADOPT = "adopt"
    SERVE = "serve"
    BOOT = "boot"
    CONFIRM = "confirm"
    ROLLBACK = "rollback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = _parser().parse_args(arguments)
    share_arena()
    name = "ota: " if args.verb == Verb.BOOT else ""  # among other lines on a console
    logging.basicConfig(stream=sys.stderr, format=f"{name}%(message)s", level=logging.INFO)
    answer: Answer = {}
    try:
        status = _RUN[args.verb](args, answer) or 0
    except OtaError as error:
        if args.json:
            print(json.dumps({**answer, "error": error.to_json()}))
        elif answer.get("slots"):
            print(_as_text(answer))  # what `verify` and `status` have found out so far
        print(f"ota: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("ota: interrupted; run it again to go on", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps(answer))
    elif answer:
        print(_as_text(answer))
    return status


def run_install(args: argparse.Namespace, answer: Answer) -> None:
    """Install a package into the slot that does not run."""
    from ota import installation, lock

    device, bootloader = _device(args)
    with lock.held(device.config.state_dir):
        update = installation.install(
            device, bootloader, lambda: _decide(args, device), answer, dry_run=args.dry_run
        )
    if not args.dry_run and not args.no_reboot and update.description.reboot is not False:
        _reboot(device.config)


def run_plan(args: argparse.Namespace, answer: Answer) -> None:
    """Say what a package would take, before the first byte of payload."""
    from ota import installation, lock
    from ota.statistics import Meter, to_json

    device, _ = _device(args)
    meter = Meter()
    with lock.held(device.config.state_dir):  # a slot that is not known yet is looked at, and noted
        update = _decide(args, device)
    answer |= {"version": update.description.version, "signer": update.signer, **installation.told(update)}
    foreseen = replace(meter.read(), peak_rss_bytes=resident() + update.memory)
    answer |= to_json(update.cost, foreseen)


def run_status(args: argparse.Namespace, answer: Answer) -> None:
    """Say what the slots hold, what the boot loader was told, how the last update ended."""
    from ota import record, status

    device, bootloader = _device(args)
    answer["board"] = device.board.name
    answer["revision"] = device.config.revision
    answer["slots"] = {slot.name: status.slot(device, slot) for slot in device.board.slots}
    answer["last"] = record.last(device.config.state_dir)
    answer["update"] = status.last_update(device)
    answer["boot"] = status.boot(device, bootloader)


def run_verify(args: argparse.Namespace, answer: Answer) -> None:
    """Prove every chunk of a slot (default: of each slot whose manifest is known)."""
    from ota import verification

    device, _ = _device(args)
    verification.verify(device, args.slot, answer, repair=args.repair, in_full=args.json)


def run_adopt(args: argparse.Namespace, answer: Answer) -> None:
    """Take a zchunk header (or a .zck) as the manifest of a slot that something else wrote."""
    from ota import verification

    device, _ = _device(args)
    answer |= verification.adopt(device, args.slot, args.header, args.version, args.url)


def run_serve(args: argparse.Namespace, answer: Answer) -> None:
    """Install what SWUpdate's tools send, and tell those that watch, until SIGTERM."""
    from handlers import HANDLERS
    from ota import decision, installation, lock
    from ota.package import Package
    from ota.service.daemon import serve

    device, bootloader = _device(args)

    def install(request: Request, stream: Reader, told: Device, watch: Watch) -> Update:
        package = Package(stream, told.config.state_dir)

        def decide() -> Update:
            decided = decision.decide(
                package, told, HANDLERS, request.selection, None, dry_run=request.dry_run
            )
            return watch(decided)

        with lock.held(told.config.state_dir):
            return installation.install(told, bootloader, decide, {}, dry_run=request.dry_run)

    serve(device, bootloader, install, lambda: _reboot(device.config))


def run_boot(args: argparse.Namespace, answer: Answer) -> int:
    """At boot: end a trial boot, notice a fall back, finish or find an update."""
    from handlers import HANDLERS
    from ota.io import watchdog
    from ota.startup import sequence

    device, bootloader = _device(args)
    with (
        _on_sigterm(signal.default_int_handler),
        watchdog.fed(device.config.watchdog, os.environ) as alive,
    ):
        device = replace(device, progress=_told(device.progress, alive))
        report = sequence.run(device, bootloader, HANDLERS, alive)
        if report.restarts and not args.no_reboot:
            with _on_sigterm(lambda *_: None):  # it comes before we are through
                _restart(device.config)
        elif device.config.watchdog and device.config.watchdog.keep:
            watchdog.keep(alive)
    if args.json:
        answer |= report.to_json()
    return report.problems[0].exit_status if report.problems else 0


def run_confirm(args: argparse.Namespace, answer: Answer) -> None:
    """The running system stays: end its trial boot."""
    from ota import lock, status
    from ota.startup import trial

    device, bootloader = _device(args)
    with lock.held(device.config.state_dir, required=False):
        answer["confirmed"] = trial.confirm(device, bootloader)
        answer["update"] = status.last_update(device)


def run_rollback(args: argparse.Namespace, answer: Answer) -> None:
    """Start the system before: give up the one on trial, or leave a confirmed one."""
    from ota import lock, status
    from ota.startup import trial

    device, bootloader = _device(args)
    with lock.held(device.config.state_dir, required=False):
        answer["restart"] = trial.roll_back(device, bootloader, "ota rollback")
        answer["update"] = status.last_update(device)
    if answer["restart"] and not args.no_reboot:
        _restart(device.config)


_RUN: Final[Mapping[str, Callable[[argparse.Namespace, Answer], int | None]]] = {
    Verb.INSTALL: run_install,
    Verb.PLAN: run_plan,
    Verb.STATUS: run_status,
    Verb.VERIFY: run_verify,
    Verb.ADOPT: run_adopt,
    Verb.SERVE: run_serve,
    Verb.BOOT: run_boot,
    Verb.CONFIRM: run_confirm,
    Verb.ROLLBACK: run_rollback,
}


# Of ota.acceptance.Rules, and what the options say.
_RULES: Final[Mapping[str, str]] = {
    "no_downgrading": "refuse what is lower",
    "no_reinstalling": "refuse this very one",
    "max_version": "refuse what is higher",
}

_NO_REBOOT: Final = "do not run [boot] reboot afterwards"


def _parser() -> argparse.ArgumentParser:
    statuses = ", ".join(f"{family.exit_status} {family.__name__}" for family in FAMILIES)
    parser = argparse.ArgumentParser(
        prog="ota",
        description="Install signed updates into the slot that does not run.",
        epilog=f"Exit status: 0 done, 1 our own fault, 2 usage, {statuses}.",
    )
    parser.add_argument("--config", type=Path, default=configuration.DEFAULT_PATH, help="device.toml")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: Verb) -> argparse.ArgumentParser:
        text = _RUN[name].__doc__
        adding = verbs.add_parser(name, help=text, description=text)
        adding.add_argument("--json", action="store_true", help="answer as one JSON object")
        adding.add_argument(
            "--progress", type=Style, choices=list(Style), help="default: auto, or none with --json"
        )
        return adding

    for name in (Verb.INSTALL, Verb.PLAN):
        adding = verb(name)
        adding.add_argument("package", metavar="PACKAGE", help="a .swu: path, URL, - for a pipe; or a folder")
        adding.add_argument("--select", metavar="SET,MODE", help="not the board's own")
        adding.add_argument(
            "--max-download", type=int, metavar="BYTES", help="refuse to fetch more than this"
        )
        for rule in _RULES:
            adding.add_argument(f"--{rule.replace('_', '-')}", metavar="VERSION", help=_RULES[rule])
        adding.add_argument(
            "--max-rate", type=_rate, metavar="BYTES", help="a second, over the network: 500K, 2M"
        )
        if name is Verb.INSTALL:
            adding.add_argument("--dry-run", action="store_true", help="refuse or plan, but write nothing")
            adding.add_argument("--no-reboot", action="store_true", help=_NO_REBOOT)
    verb(Verb.STATUS)
    adding = verb(Verb.VERIFY)
    adding.add_argument("slot", metavar="SLOT", nargs="?")
    adding.add_argument("--repair", action="store_true", help="mend from the running slot, or by range")
    adding = verb(Verb.ADOPT)
    adding.add_argument("slot", metavar="SLOT")
    adding.add_argument("header", metavar="HEADER", type=Path)
    adding.add_argument("--version", default="", help="of the software that the slot holds, for `ota status`")
    adding.add_argument("--url", default="", help="where its .zck is published, for `ota verify --repair`")
    for name in (Verb.SERVE, Verb.CONFIRM):
        verb(name)
    for name in (Verb.BOOT, Verb.ROLLBACK):
        verb(name).add_argument("--no-reboot", action="store_true", help=_NO_REBOOT)
    return parser


def _rate(text: str) -> int:
    try:
        return settings.parse_size(text, settings.Complaint("--max-rate")) or 1
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _device(args: argparse.Namespace) -> tuple[Device, Bootloader]:
    config = configuration.load(args.config)
    if getattr(args, "max_rate", None):
        config = replace(config, network=replace(config.network, max_rate=args.max_rate))
    rules = Rules(**{name: getattr(args, name, None) for name in _RULES})
    acceptance = replace(config.acceptance, rules=rules.or_else(config.acceptance.rules))
    config = replace(config, acceptance=acceptance)
    usual = Style.LINES if args.verb == Verb.BOOT else Style.AUTO
    style = args.progress or (Style.NONE if args.json else usual)
    device = Device(config, Manifests(config.state_dir), reporter(style, sys.stderr))
    return device, open_environment(config.environment, config.environment_path)


def _told(progress: Progress, alive: Callable[[], None]) -> Progress:
    """Progress is what a watchdog wants to see."""

    def tell(event: Event) -> None:
        alive()
        progress(event)

    return tell


@contextmanager
def _on_sigterm(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _restart(config: Config) -> None:
    """Start the device anew, or say that somebody has to."""
    if not config.reboot:
        logging.info("restart this device: no [boot] reboot is configured")
    elif not _reboot(config):
        raise DeviceError("program-failed", " ".join(config.reboot), expected="status 0")


def _reboot(config: Config) -> bool:
    """Whether it went well; where nothing is configured it does."""
    import subprocess

    try:
        return not config.reboot or subprocess.run(config.reboot, check=False).returncode == 0
    except OSError as error:
        raise ConfigError("tool-missing", f"{config.reboot[0]}: {error.strerror}") from error


def _decide(args: argparse.Namespace, device: Device) -> Update:
    from handlers import HANDLERS
    from ota import decision, installation
    from ota.formats.selection import Selection
    from ota.package import Package

    chosen = Selection.parse(args.select) if args.select else None
    stream = Package(installation.open_source(args.package, device, chosen), device.config.state_dir)
    dry_run = getattr(args, "dry_run", True)  # `plan` has no such option
    return decision.decide(stream, device, HANDLERS, chosen, args.max_download, dry_run=dry_run)


def _as_text(answer: Answer, indent: str = "") -> str:
    lines = []
    for key, value in answer.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", _as_text(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{key}:", *(f"{indent}  {line}" for line in value)]
        else:
            lines.append(f"{indent}{key}: {'-' if value is None else value}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
