"""The service: one thing after the other, in the main thread, until it is told to end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, Protocol

from ota.acceptance import Rules
from ota.boot.table import USTATE, UpdateState
from ota.decision import Update
from ota.device import Device
from ota.errors import ConfigError, OtaError
from ota.formats import versions
from ota.interfaces import Bootloader, Event, Reader
from ota.service import messages, sockets
from ota.service.desk import Desk, Installation, Question
from ota.service.messages import Progress, Request, State, Type
from ota.service.monitor import Monitor

_QUESTIONS: Final = frozenset(
    {Type.GET_UPDATE_STATE, Type.SET_UPDATE_STATE, Type.SET_VERSIONS_RANGE, Type.POST_UPDATE}
)

_log = logging.getLogger(__name__)

Watch = Callable[[Update], Update]
"""Is told what was decided."""


class Install(Protocol):
    """Installs a package."""

    def __call__(self, request: Request, stream: Reader, device: Device, watch: Watch, /) -> Update:
        """Decide, tell `watch`, and carry out what it answers.

        Raises:
            OtaError: the package is not installed.
        """


def serve(device: Device, bootloader: Bootloader, install: Install, reboot: Callable[[], bool]) -> None:
    """Serve until SIGTERM or SIGINT; KeyboardInterrupt where it came while something was installed.

    Args:
        reboot: starts the device anew; whether that went well.

    Raises:
        DeviceError: "service-socket".
    """
    config = device.config
    service = _Service(device, bootloader, install, reboot)
    known = {Type.GET_HW_REVISION: messages.revision(config.board.name, config.revision)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with sockets.listen(config.service_folder or sockets.folder_of(os.environ), os.environ) as listening:
            layout = messages.LAYOUTS[config.service_tools]
            with Desk(listening.control, listening.progress, layout, known, _QUESTIONS) as desk:
                service.run(desk)
    except KeyboardInterrupt:
        if service.is_installing:
            raise


class _Service:
    """Does what clients ask for."""

    def __init__(
        self, device: Device, bootloader: Bootloader, install: Install, reboot: Callable[[], bool]
    ) -> None:
        self.is_installing = False
        self._device = device
        self._bootloader = bootloader
        self._do_install = install
        self._reboot = reboot
        self._is_reboot_due = False
        self._rules = Rules()  # of versions, that a client asked for

    def run(self, desk: Desk) -> None:
        while True:
            work = desk.work()
            if isinstance(work, Installation):
                with contextlib.closing(work.stream):
                    self._install(work, desk)
            else:
                work.answer(self._answer(work, desk))

    def _install(self, asked: Installation, desk: Desk) -> None:
        monitor = Monitor(desk.tell, asked.request)
        try:
            self.is_installing, self._is_reboot_due = True, False
            self._carry_out(asked, monitor)
            self.is_installing = False
            asked.stream.drain()
        finally:
            monitor.end()

    def _carry_out(self, asked: Installation, monitor: Monitor) -> None:
        asked.stream.begin(messages.answer())
        try:
            with lines_to(monitor):
                device = self._watched(monitor)
                update = self._do_install(asked.request, asked.stream, device, monitor.decided)
        except OtaError as error:
            _log.error("%s", error)
            monitor.failed(str(error))
        except Exception as error:  # a fault of ours; the next package may mend it
            _log.exception("the update failed by a fault of the agent")
            monitor.failed(f"a fault of the agent: {error!r}")
        except BaseException:
            monitor.failed("interrupted; send the package again to go on")
            raise
        else:
            self._is_reboot_due = not asked.request.dry_run and update.description.reboot is not False
            monitor.installed()

    def _watched(self, monitor: Monitor) -> Device:
        """The device, with the rules that clients asked for; its progress goes to the monitor, too."""
        device, config = self._device, self._device.config

        def progress(event: Event) -> None:
            device.progress(event)
            monitor.progress(event)

        rules = self._rules.or_else(config.acceptance.rules)
        acceptance = replace(config.acceptance, rules=rules)
        return replace(device, config=replace(config, acceptance=acceptance), progress=progress)

    def _answer(self, question: Question, desk: Desk) -> bytes:
        try:
            match question.kind:
                case Type.SET_UPDATE_STATE:
                    self._bootloader.apply({USTATE: _state(messages.parse_state(question.message))})
                case Type.GET_UPDATE_STATE:
                    state = self._bootloader.get(USTATE) or UpdateState.NOT_AVAILABLE
                    return messages.answer(state[:1].encode())
                case Type.SET_VERSIONS_RANGE:
                    asked = messages.parse_versions(question.message)
                    _check_not_looser(asked, self._device.config.acceptance.rules)
                    self._rules = asked.or_else(self._rules)
                case Type.POST_UPDATE:
                    return self._post_update(messages.parse_info(question.message), desk)
        except OtaError as error:
            _log.error("%s: %s", question.kind.name, error)
            return messages.refusal(str(error))
        return messages.answer()

    def _post_update(self, info: str, desk: Desk) -> bytes:
        """SWUpdate's post-update command: here what starts the device anew, where an update asks for it."""
        desk.tell(Progress(State.DONE, info=info))
        if self._is_reboot_due and not self._reboot():
            return messages.refusal("the command that starts the device anew failed")
        return messages.answer()


def _check_not_looser(asked: Rules, own: Rules) -> None:
    """Whoever may talk to the service may not undo what its configuration rules."""
    pairs = (
        ("no_downgrading", own.no_downgrading, asked.no_downgrading, (0, 1)),
        ("no_reinstalling", own.no_reinstalling, asked.no_reinstalling, (0,)),
        ("max_version", own.max_version, asked.max_version, (-1, 0)),
    )
    for name, mine, its, orders in pairs:
        if mine and its and versions.compare(its, mine) not in orders:
            raise ConfigError(
                "config-value",
                f"the range of versions is not within that of the configuration: {name}",
                expected=mine,
                found=its,
            )


def _state(value: str) -> str:
    if value not in set(UpdateState):
        raise ConfigError("config-value", "the update's state", expected="0 to 7", found=repr(value))
    return value


@contextlib.contextmanager
def lines_to(monitor: Monitor) -> Iterator[None]:
    """What is logged meanwhile is told too."""
    feed = logging.Handler()
    feed.emit = monitor.line  # type: ignore[method-assign]  # the one method that a handler must have
    logging.getLogger().addHandler(feed)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(feed)
