"""`ota`: the device's command line, and the composition root of the agent.

Results go to stdout, everything else to stderr. Only `main` turns errors into exit statuses.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from handlers import HANDLERS
from ota import config as configuration
from ota import decision, folder, installer, package, settings, slotsync
from ota.acceptance import Rules
from ota.board import Slot
from ota.boot.environments import open_environment
from ota.boot.table import RECOVERY_STATUS, USTATE
from ota.config import Config
from ota.device import Device
from ota.errors import FAMILIES, ConfigError, DeviceError, OtaError
from ota.formats import zchunk
from ota.formats.selection import Selection
from ota.interfaces import Bootloader, Cost, Reader
from ota.io import durable
from ota.io.http import open_file
from ota.io.target import Target
from ota.native.memory import resident, share_arena
from ota.package import Package
from ota.progress import Style, reporter
from ota.slotsync import Content
from ota.statistics import Meter, to_json
from ota.sync import damage
from ota.sync.execute import damaged
from ota.sync.manifests import Manifests
from ota.sync.stream import Image

if TYPE_CHECKING:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = _parser().parse_args(arguments)
    share_arena()
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
    answer: Answer = {}
    try:
        _RUN[args.verb](args, answer)
    except OtaError as error:
        if args.json:
            print(json.dumps({**answer, "error": error.to_json()}))
        elif answer.get("slots"):
            print(_as_text(answer))  # `verify` has found out where the damage lies
        print(f"ota: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("ota: interrupted; run it again to go on", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps(answer))
    else:
        print(_as_text(answer))
    return 0


def run_install(args: argparse.Namespace, answer: Answer) -> None:
    """Install a package into the slot that does not run."""
    device, bootloader = _device(args)
    update = _install(device, bootloader, lambda: _decide(args, device), answer, dry_run=args.dry_run)
    if not args.dry_run and not args.no_reboot and update.description.reboot is not False:
        _reboot(device.config)


def run_plan(args: argparse.Namespace, answer: Answer) -> None:
    """Say what a package would take, before the first byte of payload."""
    device, _ = _device(args)
    meter = Meter()
    with _locked(device.config.state_dir):  # a slot that is not known yet is looked at, and noted
        update = _decide(args, device)
    answer |= {"version": update.description.version, "signer": update.signer}
    foreseen = replace(meter.read(), peak_rss_bytes=resident() + update.memory)
    answer |= to_json(update.cost, foreseen)


def run_status(args: argparse.Namespace, answer: Answer) -> None:
    """Say what the slots hold, what the boot loader was told, how the last update ended."""
    device, bootloader = _device(args)
    answer["board"] = device.board.name
    answer["revision"] = device.config.revision
    answer["slots"] = {slot.name: _slot_status(device, slot) for slot in device.board.slots}
    answer["boot"] = {name: bootloader.get(name) for name in (RECOVERY_STATUS, USTATE)}
    answer["last"] = _last(device)


def run_verify(args: argparse.Namespace, answer: Answer) -> None:
    """Prove every chunk of a slot (default: of each slot whose manifest is known)."""
    device, _ = _device(args)
    known = [slot for slot in device.board.slots if device.manifests.get(slot.name)]
    slots = [device.slot(args.slot)] if args.slot else known
    if not slots:
        raise DeviceError("slot-no-manifest", "no slot's manifest is known", hint="ota adopt SLOT HEADER")
    results: dict[str, Answer] = {}
    answer["slots"] = results
    for slot in slots:
        header = _manifest(device, slot)
        results[slot.name] = {}
        _verify(args, device, slot, header, results[slot.name])
    for name, result in results.items():
        if result["damaged_chunks"] and not result["repaired"]:
            raise DeviceError(
                "slot-damaged",
                f"slot {name!r} differs from its manifest",
                expected=f"{result['chunks']} chunks",
                found=f"{result['damaged_chunks']} damaged, the first at {result['first_damage']}",
                hint=None if slot == device.config.running else "ota verify --repair",
            )


def run_adopt(args: argparse.Namespace, answer: Answer) -> None:
    """Take a zchunk header (or a .zck) as the manifest of a slot that something else wrote."""
    device, _ = _device(args)
    slot = device.slot(args.slot)
    header = zchunk.parse_manifest(_read_header(args.header))
    with _locked(device.config.state_dir), Target(device.path(slot)) as target:
        Image(header.image_size, None).check_fits(target, 0, f"slot {slot.name!r}")
        bad = damaged(header, target, device.progress)
        if len(bad) == len(header) > 0:
            raise DeviceError(
                "slot-damaged",
                f"slot {slot.name!r} holds nothing of that image",
                expected=f"{len(header)} chunks",
                found="0",
            )
        device.manifests.commit(slot.name, header, args.version, args.url)
    answer |= {"slot": slot.name, "chunks": len(header), "damaged_chunks": len(bad)}


def run_serve(args: argparse.Namespace, answer: Answer) -> None:
    """Install what SWUpdate's tools send, and tell those that watch, until SIGTERM."""
    from ota.service.daemon import serve  # it takes 20 ms, which no other command needs to spend

    device, bootloader = _device(args)

    def install(request: Request, stream: Reader, told: Device, watch: Watch) -> decision.Update:
        package = Package(stream, told.config.state_dir)

        def decide() -> decision.Update:
            decided = decision.decide(
                package, told, HANDLERS, request.selection, None, dry_run=request.dry_run
            )
            return watch(decided)

        return _install(told, bootloader, decide, {}, dry_run=request.dry_run)

    serve(device, bootloader, install, lambda: _reboot(device.config))


_RUN: Final[Mapping[str, Callable[[argparse.Namespace, Answer], None]]] = {
    Verb.INSTALL: run_install,
    Verb.PLAN: run_plan,
    Verb.STATUS: run_status,
    Verb.VERIFY: run_verify,
    Verb.ADOPT: run_adopt,
    Verb.SERVE: run_serve,
}


# Of ota.acceptance.Rules, and what the options say.
_RULES: Final[Mapping[str, str]] = {
    "no_downgrading": "refuse what is lower",
    "no_reinstalling": "refuse this very one",
    "max_version": "refuse what is higher",
}


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
            adding.add_argument(
                "--no-reboot", action="store_true", help="do not run [boot] reboot afterwards"
            )
    verb(Verb.STATUS)
    adding = verb(Verb.VERIFY)
    adding.add_argument("slot", metavar="SLOT", nargs="?")
    adding.add_argument("--repair", action="store_true", help="mend from the running slot, or by range")
    adding = verb(Verb.ADOPT)
    adding.add_argument("slot", metavar="SLOT")
    adding.add_argument("header", metavar="HEADER", type=Path)
    adding.add_argument("--version", default="", help="of the software that the slot holds, for `ota status`")
    adding.add_argument("--url", default="", help="where its .zck is published, for `ota verify --repair`")
    verb(Verb.SERVE)
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
    style = args.progress or (Style.NONE if args.json else Style.AUTO)
    device = Device(config, Manifests(config.state_dir), reporter(style, sys.stderr))
    return device, open_environment(config.environment, config.environment_path)


def _install(
    device: Device,
    bootloader: Bootloader,
    decide: Callable[[], decision.Update],
    answer: Answer,
    *,
    dry_run: bool,
) -> decision.Update:
    """Decide and carry out; `answer` says what that took, and so will `ota status`."""
    meter = Meter()
    cost = Cost()
    try:
        with _locked(device.config.state_dir):
            update = decide()
            answer |= {"version": update.description.version, "signer": update.signer}
            cost = update.cost if dry_run else installer.install(update, bootloader)
    except OtaError as error:
        _remember(device, {**answer, "error": error.to_json()})
        raise
    finally:
        answer |= to_json(cost, meter.read())
    if not dry_run:
        _remember(device, answer)
    return update


def _reboot(config: Config) -> bool:
    """Whether it went well; where nothing is configured it does."""
    try:
        return not config.reboot or subprocess.run(config.reboot, check=False).returncode == 0
    except OSError as error:
        raise ConfigError("tool-missing", f"{config.reboot[0]}: {error.strerror}") from error


def _decide(args: argparse.Namespace, device: Device) -> decision.Update:
    chosen = Selection.parse(args.select) if args.select else None
    stream = Package(_open(args.package, device, chosen), device.config.state_dir)
    dry_run = getattr(args, "dry_run", True)  # `plan` has no such option
    return decision.decide(stream, device, HANDLERS, chosen, args.max_download, dry_run=dry_run)


def _open(name: str, device: Device, chosen: Selection | None) -> Reader:
    if name == "-":
        return package.Pipe(sys.stdin.buffer)
    if name.startswith(("http://", "https://")):
        return open_file(name, device.network, device.servers)
    path = Path(name)
    return package.open_package(folder.choose(path, device, chosen) if path.is_dir() else path)


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """One command at a time changes slots."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("w")
    except OSError as error:
        raise durable.translate(error, state_dir / "lock") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeviceError("busy", "another ota command is at work") from error
        yield


def _slot_status(device: Device, slot: Slot) -> Answer:
    record = device.manifests.record(slot.name)
    half = device.manifests.pending(slot.name) is not None
    return {
        "device": str(device.path(slot)),
        "running": slot == device.config.running,
        "content": "half written" if half else "known" if record else "unknown",
        "version": record and record.version,
        "since": record and time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.since)),
        "manifest_sha256": record and record.manifest_sha256,
    }


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
    args: argparse.Namespace, device: Device, slot: Slot, header: zchunk.Header, answer: Answer
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
        **(report.to_json() if args.json else report.to_text()),
    }
    if bad and args.repair:
        with _locked(device.config.state_dir):
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


def _remember(device: Device, answer: Answer) -> None:
    text = json.dumps({"at": int(time.time()), **answer})
    durable.replace(device.config.state_dir / "last.json", text.encode())


def _last(device: Device) -> object:
    try:
        return json.loads((device.config.state_dir / "last.json").read_bytes())
    except (OSError, ValueError):
        return None


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
