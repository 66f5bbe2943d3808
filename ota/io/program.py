"""Outside programs and scripts: what they print is logged, and none of them outlives its time."""

from __future__ import annotations

import logging
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, DeviceError

MAX_OUTPUT: Final = 64 << 10  # bytes that are kept and logged; what comes after them is read and dropped
TIMEOUT_S: Final = 300  # of a tool of this device
_LOOK_S: Final = 0.02  # how often an end is looked for that does not show in the output
_PIPE: Final = 1 << 20  # bytes; the most that a pipe holds (pipe(7))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    status: int | None  # negative: by that signal; None: its time was over
    output: str  # stdout and stderr, the first MAX_OUTPUT bytes

    def __str__(self) -> str:
        """In words, with the last line that it printed."""
        if self.status is None:
            how = "it did not end in time"
        else:
            how = f"status {self.status}" if self.status >= 0 else f"signal {-self.status}"
        last = self.output.strip().rpartition("\n")[2]
        return f"{how}: {last}" if last else how


def tool(*command: str | Path, feed: Iterable[bytes] = ()) -> str:
    """Run a program of this device that must succeed; returns what it printed.

    Raises:
        ConfigError: "tool-missing".
        DeviceError: "program-failed".
    """
    ended = run(command, timeout_s=TIMEOUT_S, feed=feed)
    if ended.status != 0:
        words = " ".join(map(str, command))
        raise DeviceError("program-failed", words, expected="status 0", found=str(ended))
    return ended.output


def require(name: str, package: str) -> None:
    """Refuse where a program that will be needed is not installed.

    Raises:
        ConfigError: "tool-missing".
    """
    if shutil.which(name) is None:
        raise ConfigError(
            "tool-missing", f"{name} is not installed", hint=f"on Debian it is in the package {package}"
        )


def run(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    feed: Iterable[bytes] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    name: str | None = None,
) -> Ended:
    """Run a program in a process group of its own.

    Whatever it started is ended with it, unless it ended well: what a script that succeeds leaves running is
    meant to run.

    Args:
        command: found on PATH, without a shell.
        timeout_s: seconds that it may take.
        feed: its standard input; it may end before it has taken all of it.
        environment: instead of ours.
        folder: where it runs.
        name: what it is called in the log.

    Raises:
        ConfigError: "tool-missing".
        Exception: what `feed` raises, once the program has been ended.
    """
    words = [str(word) for word in command]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd=folder,
        )
    except OSError as error:
        raise ConfigError("tool-missing", f"{words[0]} cannot be run: {error.strerror}") from error
    with process:
        try:
            output = _attend(process, iter(feed), time.monotonic() + timeout_s)
            status = process.poll()
        finally:
            if process.poll() != 0:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    for line in output.splitlines():
        _log.info("%s: %s", name or Path(words[0]).name, line)
    return Ended(status, output)


def _attend(process: subprocess.Popen[bytes], feed: Iterator[bytes], deadline: float) -> str:
    """Feed it and listen to it until it ends or its time is over; returns what it said."""
    assert process.stdin and process.stdout
    stdin, stdout = process.stdin.fileno(), process.stdout.fileno()
    pending = memoryview(b"")
    heard = bytearray()

    def give() -> bool:
        nonlocal pending
        pending = pending or memoryview(next(feed, b""))
        try:
            pending = pending[os.write(stdin, pending) :] if pending else pending
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        return bool(pending) or bool(pending := memoryview(next(feed, b"")))

    def listen() -> bool:
        try:
            data = os.read(stdout, _PIPE)
        except BlockingIOError:
            return True
        heard.extend(data[: MAX_OUTPUT - len(heard)])
        return bool(data)

    with selectors.DefaultSelector() as selector:
        for pipe, event, step in (
            (process.stdin, selectors.EVENT_WRITE, give),
            (process.stdout, selectors.EVENT_READ, listen),
        ):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, event, (pipe, step))
        while process.poll() is None and time.monotonic() < deadline:
            for key, _ in selector.select(_LOOK_S):
                pipe, step = key.data
                if not step():
                    selector.unregister(pipe)
                    pipe.close()
    if not process.stdout.closed:
        listen()  # its last words: a pipe holds no more than is read at once
    return heard.decode(errors="replace")
