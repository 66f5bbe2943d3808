"""A package becomes an update: what is for this device, in jobs, and what they take. Nothing is written."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import add
from pathlib import Path

from ota import acceptance, commands, places
from ota.board import Board, Slot
from ota.boot.environments import NAMESPACE, open_environment
from ota.commands import Commands
from ota.device import Device
from ota.errors import ConfigError, UpdateError
from ota.formats import features, hardware, versions
from ota.formats import selection as selecting
from ota.formats.alternatives import Method
from ota.formats.description import Tree
from ota.formats.selection import Description, Entry, Selection
from ota.interfaces import Cost
from ota.job import NO_PAYLOAD, Handler, Job, Payload, Row
from ota.package import Package

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Update:
    """A package that may be installed here, and what that will take."""

    description: Description
    signer: str
    package: str  # sha256 of its sw-description
    jobs: tuple[Job, ...]
    cost: Cost
    memory: int  # bytes that the hungriest job takes, about, beside what is in use now
    board: Board
    running: Slot
    state_dir: Path
    record: Path | None = None  # the file of installed versions, if one is kept
    versions: Mapping[str, str] = field(default_factory=dict)  # what it will say
    commands: Commands = field(default_factory=Commands)

    @property
    def methods(self) -> dict[str, Method]:
        """How images come here, by file name; after the installation, how they came."""
        return {name: method for job in self.jobs for name, method in job.methods.items()}


@dataclass(frozen=True, slots=True)
class Examined:
    """What a package asks of this device, and who says so."""

    description: Description
    signer: str
    digest: str  # sha256 of the sw-description


def decide(
    package: Package,
    device: Device,
    handlers: Mapping[str, Row],
    chosen: Selection | None,
    max_download: int | None,
    *,
    dry_run: bool = False,
) -> Update:
    """Prove the package, select what is for this device, and plan it; nothing is written.

    Args:
        chosen: software set and mode; default: the board's set, and the mode of the slot that does not run.
        max_download: bytes of payload that may come over the network; None: any.
        dry_run: it will not be installed, so the operator's command is not run.

    Raises:
        OtaError: the first reason why it cannot be installed.
    """
    examined = examine(package, device, chosen)
    description = examined.description
    if description.output:
        _log.warning("no copy of the package is kept at %s", description.output)
    for entry in description.entries:
        _check_type(entry, handlers)
    kept = (_keep_vars(description, device),) if description.vars else ()
    if not dry_run:
        commands.run_before(device.config.commands)
    installed = acceptance.installed(device.config.acceptance)
    entries = tuple(entry for entry in description.entries if _is_wanted(entry, installed))
    description = replace(description, entries=entries)
    targets = (device.find(entry.device).path for entry in description.entries if entry.device)
    device = replace(device, targets=tuple(targets), max_download=max_download)
    payloads = package.stage(description.entries, device.progress)
    jobs = (*_jobs(description, payloads, handlers, device), *kept)
    spans = (span for job in jobs for span in job.writes)
    places.refuse_doubled(spans, device.path(device.config.running))
    cost = reduce(add, (job.cost for job in jobs), Cost())
    if max_download is not None and cost.fetched_bytes > max_download:
        raise UpdateError(
            "over-budget",
            "the update's download",
            expected=f"<= {max_download} bytes",
            found=cost.fetched_bytes,
        )
    memory = max((job.memory for job in jobs), default=0)
    return Update(
        description,
        examined.signer,
        examined.digest,
        jobs,
        cost,
        memory,
        device.board,
        device.config.running,
        device.config.state_dir,
        device.config.acceptance.record,
        installed | {entry.name: entry.version for entry in entries if entry.name and entry.version},
        device.config.commands,
    )


def examine(package: Package, device: Device, chosen: Selection | None) -> Examined:
    """Prove who made a package, and that it is for this device; reads the sw-description and nothing else.

    Raises:
        OtaError: the first reason why it is not for this device.
    """
    signed = package.read_description(device.config.trust)
    description = _select(signed.tree, device, chosen)
    hardware.check(description.hardware, device.board.name, device.config.revision)
    acceptance.check(description, signed.digest, device.config.acceptance)
    return Examined(description, signed.signer, signed.digest)


def _select(tree: Tree, device: Device, chosen: Selection | None) -> Description:
    target = device.board.other(device.config.running)
    selection = chosen or Selection(device.board.software_set, target.mode)
    description = selecting.select(tree, device.board.name, selection, required=chosen is not None)
    if not (description.entries or description.bootenv or description.vars):
        raise UpdateError(
            "selection-missing",
            f"the sw-description has nothing to install for {selection}",
            found=", ".join(selecting.selections(tree)) or "no selection",
        )
    return description


def _check_type(entry: Entry, handlers: Mapping[str, Row]) -> None:
    features.refuse_type(entry.type, entry.label)
    row = handlers.get(entry.type)
    if row is None or not selecting.may_stand(entry.section, row.sections):
        known = (name for name, row in handlers.items() if selecting.may_stand(entry.section, row.sections))
        raise UpdateError(
            "description-type",
            f"{entry.label}: its type has no handler in this section",
            expected=", ".join(sorted(known)),
            found=entry.type,
        )
    if row.has_data and entry.filename is None:
        raise UpdateError("description-content", f"{entry.label}: an entry of this type needs a filename")


def _keep_vars(description: Description, device: Device) -> Job:
    """`vars` are kept when the last script was run, just before the boot environment."""
    kept = device.config.vars
    namespace = description.namespace or kept.namespace
    if namespace is None and kept.environment == "uboot":
        raise ConfigError(
            "config-key", "the package's vars belong to no namespace", expected="namespace in [vars]"
        )
    if namespace is not None and not NAMESPACE.fullmatch(namespace):
        raise UpdateError(
            "description-content", "namespace-for-vars", expected=NAMESPACE.pattern, found=repr(namespace)
        )
    environment = open_environment(kept.environment, kept.path, namespace)
    values = {name: value or None for name, value in description.vars.items()}

    def check() -> None:
        environment.get("")

    return Job(check=check, switch=partial(environment.apply, values))


def _is_wanted(entry: Entry, installed: Mapping[str, str]) -> bool:
    """Whether `install-if-different` and `install-if-higher` let it be installed."""
    current = installed.get(entry.name or "")
    if current is None or not entry.version:
        return True
    order = versions.compare(entry.version, current)
    if (entry.install_if_different and order == 0) or (entry.install_if_higher and order <= 0):
        _log.info("%s is not installed: version %s, and %s is there", entry.label, entry.version, current)
        return False
    return True


def _jobs(
    description: Description, payloads: Mapping[str, Payload], handlers: Mapping[str, Row], device: Device
) -> Iterator[Job]:
    """Each entry's job; where an earlier entry makes the device what it will be, that waits for its turn."""
    changed: list[Path] = []
    for entry in description.entries:
        payload = payloads[entry.filename] if entry.filename else NO_PAYLOAD
        if entry.filename and entry.size and entry.size != payload.size:  # swupdate: check_if_required
            raise UpdateError(
                "member-size", f"{entry.label}: length", expected=f"{entry.size} bytes", found=payload.size
            )
        decision = partial(_load(handlers[entry.type], entry), entry, payload, device, description)
        is_early = not any(_lies_on(device, entry, disk) for disk in changed)
        job = decision() if is_early else _late(decision)
        changed += job.changes
        yield job


def _load(row: Row, entry: Entry) -> Handler:
    try:
        return row.load()
    except ImportError as error:
        raise ConfigError("tool-missing", f"{entry.label}: a library is missing: {error}") from error


def _lies_on(device: Device, entry: Entry, disk: Path) -> bool:
    return bool(entry.device) and is_of(device.find(str(entry.device)).path, disk)


def is_of(path: Path, disk: Path) -> bool:
    """Whether a path is a disk, one of its partitions, or not there yet."""
    whole = str(disk.resolve())
    partition = rf"{'p' if whole[-1].isdigit() else ''}[0-9]+"  # /dev/loop10 is no partition of /dev/loop1
    return not path.exists() or bool(re.fullmatch(f"{re.escape(whole)}({partition})?", str(path.resolve())))


def _late(decision: Callable[[], Job]) -> Job:
    """A job that is decided when it is run."""
    decided: list[Job] = []
    bootenv: dict[str, str | None] = {}
    methods: dict[str, Method] = {}

    def run() -> Cost:
        job = decision()
        decided.append(job)
        bootenv.update(job.bootenv)
        job.check()
        job.before()
        try:
            return job.run()
        finally:
            methods.update(job.methods)

    def later(step: Callable[[Job], None]) -> None:
        for job in decided:
            step(job)

    return Job(
        run=run,
        after=partial(later, lambda job: job.after()),
        switch=partial(later, lambda job: job.switch()),
        failed=partial(later, lambda job: job.failed()),
        close=partial(later, lambda job: job.close()),
        methods=methods,
        bootenv=bootenv,
    )
