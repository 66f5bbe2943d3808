"""Outside programs: what they say, how they end, and that nothing of them stays behind."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Iterator

import pytest

from ota.errors import ConfigError, DeviceError
from ota.io import program


def run(script: str, timeout_s: float = 10, feed: list[bytes] | None = None) -> program.Ended:
    return program.run(["sh", "-c", script], timeout_s=timeout_s, feed=feed or [])


def is_running(marker: str) -> bool:
    """Whether a process has this word among its arguments; one that was ended may take its time."""
    search = ["pgrep", "-f", f"[s]leep {marker}"]
    deadline = time.monotonic() + 2
    while subprocess.run(search, capture_output=True).returncode == 0:
        if time.monotonic() > deadline:
            return True
        time.sleep(0.02)
    return False


def test_what_it_prints_comes_back_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ended = run("echo out; echo err >&2; exit 3")
    assert ended == program.Ended(3, "out\nerr\n")
    assert str(ended) == "status 3: err"
    assert caplog.messages == ["sh: out", "sh: err"]


def test_it_is_fed_until_it_has_enough() -> None:
    blocks = [bytes([n]) * 300_000 for n in range(10)]
    assert run("wc -c", feed=blocks) == program.Ended(0, "3000000\n")
    assert run("head -c 5 | wc -c", feed=blocks) == program.Ended(0, "5\n")
    assert run("exit 0", feed=blocks) == program.Ended(0, "")
    assert run("cat", feed=[]) == program.Ended(0, "")


def test_what_it_prints_without_end_is_not_kept() -> None:
    ended = run("yes", timeout_s=0.5)
    assert ended.status is None
    assert len(ended.output) == program.MAX_OUTPUT
    ended = run("head -c 3000000 /dev/zero; echo end")
    assert (ended.status, len(ended.output)) == (0, program.MAX_OUTPUT)


def test_one_that_hangs_is_ended_with_all_that_it_started() -> None:
    start = time.monotonic()
    assert run("sleep 54321 & sleep 54321", timeout_s=0.3).status is None
    assert time.monotonic() - start < 5
    assert not is_running("54321")


def test_one_that_closes_its_output_is_waited_for() -> None:
    assert run("exec >&- 2>&-; sleep 0.2; exit 4").status == 4


def test_one_that_fails_leaves_nothing_running() -> None:
    assert run("sleep 54322 & exit 1").status == 1
    assert not is_running("54322")


def test_what_a_program_that_succeeds_leaves_running_goes_on_and_is_not_waited_for() -> None:
    start = time.monotonic()
    assert run("sleep 54323 & echo started") == program.Ended(0, "started\n")
    assert time.monotonic() - start < 5
    assert is_running("54323")
    subprocess.run(["pkill", "-f", "[s]leep 54323"], check=True)


def test_a_feed_that_fails_ends_the_program() -> None:
    def feed() -> Iterator[bytes]:
        yield b"data"
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        program.run(["sh", "-c", "sleep 54324; cat"], timeout_s=10, feed=feed())
    assert not is_running("54324")


def test_one_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError) as refusal:
        program.run(["no-such-program"], timeout_s=1)
    assert refusal.value.code == "tool-missing"


def test_a_tool_must_succeed() -> None:
    assert program.tool("echo", "fine") == "fine\n"
    with pytest.raises(DeviceError) as refusal:
        program.tool("sh", "-c", "echo no room; exit 5")
    assert refusal.value.code == "program-failed"
    assert refusal.value.found == "status 5: no room"
