"""The watchdog is fed while there is progress, stopped at a clean end, and left running otherwise."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.io import watchdog
from ota.io.watchdog import Watchdog, fed


class Device:
    """A pipe in place of a device: what is written into it, and whether it was closed."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def written(self) -> bytes:
        try:
            return os.read(self._reader, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self._reader)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path / "watchdog")
    yield made
    made.close()


def test_it_is_fed_and_stopped_at_the_end(device: Device) -> None:
    with fed(Watchdog(device.path, timeout_s=60), {}):
        wait_for(device, 1)
    assert device.written() == b"V"


def wait_for(device: Device, feedings: int) -> None:
    heard = b""
    deadline = time.monotonic() + 10
    while len(heard) < feedings:
        assert time.monotonic() < deadline
        heard += device.written()
        time.sleep(0.01)
    assert set(heard) == {0}


def test_it_is_fed_more_often_than_it_needs(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    with fed(Watchdog(device.path, timeout_s=1), {}):
        started = time.monotonic()
        wait_for(device, 3)
        assert time.monotonic() - started < 1.5


def test_an_agent_that_fails_leaves_it_running(device: Device) -> None:
    with pytest.raises(RuntimeError), fed(Watchdog(device.path), {}):
        wait_for(device, 1)
        raise RuntimeError
    assert device.written() == b""


def test_an_agent_that_is_told_to_end_stops_it(device: Device) -> None:
    with pytest.raises(KeyboardInterrupt), fed(Watchdog(device.path), {}):
        wait_for(device, 1)
        raise KeyboardInterrupt
    assert device.written() == b"V"


def test_without_progress_it_is_no_longer_fed(device: Device) -> None:
    feeder = watchdog._Feeder([lambda: None], interval_s=0.01, limit_s=0.05)
    started = time.monotonic()
    while feeder._thread.is_alive():
        assert time.monotonic() - started < 10
        time.sleep(0.01)
    assert time.monotonic() - started >= 0.05
    feeder.end()


def test_progress_keeps_it_fed() -> None:
    fedded = threading.Event()
    feeder = watchdog._Feeder([fedded.set], interval_s=0.01, limit_s=0.3)
    for _ in range(60):
        feeder.alive()
        time.sleep(0.01)
    assert feeder._thread.is_alive() and fedded.is_set()
    feeder.end()


def test_a_device_that_is_missing_is_said_and_work_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with fed(Watchdog(tmp_path / "none"), {}) as alive:
        alive()
    assert "watchdog: " in caplog.text and "none" in caplog.text


def test_one_that_somebody_else_has_is_left_to_him(
    device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(*_: object) -> int:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "open", busy)
    with fed(Watchdog(device.path), {}) as alive:
        alive()
    monkeypatch.undo()
    assert caplog.text == "" and device.written() == b""


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_where_it_wants_to_know(tmp_path: Path, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"otakit-{os.getpid()}" if abstract else str(tmp_path / "notify")
        listening.bind(f"\0{name}" if abstract else name)
        listening.settimeout(10)
        environment = {"WATCHDOG_USEC": "300000", "NOTIFY_SOCKET": f"@{name}" if abstract else name}
        with fed(None, environment):
            assert [listening.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
