"""What is tried when a server fails: again, later, by a fresh URL, from a mirror; and an end to it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.errors import NetworkError
from ota.interfaces import Range
from ota.io.answer import Ability
from ota.io.http import HttpSource, open_file
from ota.io.network import Network, origin
from ota.io.readers import read_full
from ota.io.servers import Facts, Servers
from ota.io.window import Window
from ota.tests.odd import Behaviour, Odd, Request

FILE = bytes(range(251)) * 4000
RANGES = [Range(start, start + 5000) for start in range(0, 900_000, 10_000)]
FAST = Network(timeout_s=2, retries=2, backoff_s=0.01)
CLOSED = "http://127.0.0.1:1/"


def proper(request: Request) -> None:
    request.properly()


@pytest.fixture
def server() -> Iterator[Odd]:
    with Odd(FILE, proper) as odd:
        yield odd


def fetch(url: str, network: Network, servers: Servers | None = None, request: int = 100_000) -> HttpSource:
    """Fetch RANGES and prove each byte."""
    source = HttpSource(url, len(FILE), network, servers or Servers(None), request)
    got = sorted(source.fetch(RANGES))
    source.close()
    assert sum(len(data) for _, data in got) == sum(map(len, RANGES))
    assert all(FILE[offset : offset + len(data)] == data for offset, data in got)
    return source


def with_mirrors(*folders: str) -> Network:
    return Network(timeout_s=2, retries=1, backoff_s=0.01, mirrors=folders)


def test_a_mirror_takes_over_where_a_server_is_not_there(server: Odd) -> None:
    fetch(CLOSED + "file", with_mirrors(server.url.removesuffix("file")))
    assert server.asked


@pytest.mark.parametrize("status", [404, 503])
def test_a_mirror_takes_over_in_the_middle(server: Odd, status: int) -> None:
    answers = 0

    def fails_soon(request: Request) -> None:
        nonlocal answers
        answers += 1
        request.properly() if answers < 4 else request.answer(status, b"")

    with Odd(FILE, fails_soon) as first:
        source = fetch(first.url, with_mirrors(CLOSED, server.url.removesuffix("file")))
    assert answers >= 4
    assert server.asked
    assert source.received <= sum(map(len, RANGES)) + FAST.in_flight


def test_with_all_mirrors_used_up_the_last_one_is_named() -> None:
    with pytest.raises(NetworkError) as caught:
        fetch(CLOSED + "file", with_mirrors("http://127.0.0.1:2/", "http://127.0.0.1:3/"))
    assert caught.value.code == "connect"
    assert "127.0.0.1:3" in str(caught.value)


def test_a_package_comes_from_a_mirror_too(server: Odd) -> None:
    reader = open_file(CLOSED + "file", with_mirrors(server.url.removesuffix("file")), Servers(None))
    assert bool(read_full(reader, len(FILE) + 1) == FILE)


def hook(folder: Path, url: str) -> tuple[str, ...]:
    """A command that prints `url` and how often it was asked."""
    script = folder / "sign.py"
    script.write_text(
        "import pathlib, sys\n"
        "log = pathlib.Path(sys.argv[1])\n"
        "log.write_text((log.read_text() if log.exists() else '') + sys.argv[-1] + '\\n')\n"
        f"print('{url}?pass=' + str(len(log.read_text().split())))\n"
    )
    return (sys.executable, str(script), str(folder / "log"))


def test_an_expired_url_is_made_fresh_and_nothing_is_fetched_twice(server: Odd, tmp_path: Path) -> None:
    """Each URL is good for three answers."""
    answers: dict[str, int] = {}
    lock = threading.Lock()

    def expiring(request: Request) -> None:
        with lock:
            answers[request.path] = answers.get(request.path, 0) + 1
            good = "?pass=" in request.path and answers[request.path] <= 3
        request.properly() if good else request.answer(403, b"")

    server.behaviour = expiring
    refresh = hook(tmp_path, server.url)
    published = "https://example.invalid/releases/file"
    source = fetch(published, Network(timeout_s=2, retries=0, refresh=refresh), request=10_000)
    asked = (tmp_path / "log").read_text().split()
    assert (
        len(asked) == 15
    )  # for 45 requests: what was in flight with an old one needs no fresh one of its own
    assert set(asked) == {published}
    assert source.received == sum(map(len, RANGES))


def test_a_fresh_url_that_is_refused_too_is_an_error(server: Odd, tmp_path: Path) -> None:
    server.behaviour = lambda request: request.answer(403, b"")
    with pytest.raises(NetworkError) as caught:
        fetch(server.url, Network(refresh=hook(tmp_path, server.url)))
    assert caught.value.code == "http-status"
    assert len((tmp_path / "log").read_text().split()) == 2


@pytest.mark.parametrize("command", [("/nonexistent/sign",), ("false",), ("echo", "no URL")])
def test_a_hook_that_fails_is_named(command: tuple[str, ...]) -> None:
    with pytest.raises(NetworkError) as caught:
        fetch(CLOSED + "file", Network(refresh=command))
    assert caught.value.code == "url-refresh"


def busy(status: int, times: int, **headers: str) -> Behaviour:
    left = times

    def behaviour(request: Request) -> None:
        nonlocal left
        left -= 1
        request.answer(status, b"", None, **headers) if left >= 0 else request.properly()

    return behaviour


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_left_alone_for_as_long_as_it_says(server: Odd, status: int) -> None:
    server.behaviour = busy(status, 1, Retry_After="1")
    start = time.monotonic()
    fetch(server.url, FAST)
    assert time.monotonic() - start >= 1


def test_a_file_that_is_replaced_is_noticed_on_the_first_answer(server: Odd) -> None:
    answers: list[int] = []

    def replaced(request: Request) -> None:
        answers.append(len(request.ranges))
        request.server.etag = '"old"' if len(answers) < 2 else '"new"'
        request.properly()

    server.behaviour = replaced
    with pytest.raises(NetworkError) as caught:
        fetch(server.url, FAST)
    assert caught.value.code == "server-content"
    assert "new" in str(caught.value)


def test_a_silent_server_is_given_up(server: Odd) -> None:
    def silent(request: Request) -> None:
        request.server.behaviour = proper
        request.answer(206, b"", 5000, Content_Range=f"bytes 0-4999/{len(FILE)}")
        request.slowly(bytes(100), bytes_a_second=5)  # never silent for long, and never done

    server.behaviour = silent
    start = time.monotonic()
    fetch(server.url, Network(timeout_s=1, retries=1, backoff_s=0.01))
    assert 1 <= time.monotonic() - start < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("transfer")]


def test_a_rate_is_kept_by_all_connections_together(server: Odd) -> None:
    server.behaviour = lambda r: r.whole() if len(r.ranges) > 1 else r.properly()
    rate = 300_000
    start = time.monotonic()
    source = fetch(server.url, Network(max_rate=rate), request=10_000)
    assert time.monotonic() - start >= 0.9 * source.received / rate
    assert source.requests > 90


def test_what_was_learnt_of_a_server_saves_asking(server: Odd, tmp_path: Path) -> None:
    server.behaviour = lambda r: r.whole() if len(r.ranges) > 1 else r.properly()
    servers = Servers(tmp_path)
    fetch(server.url, FAST, servers)
    assert servers.get(origin(server.url)).ability is Ability.SINGLE
    assert any("," in asked for asked in server.asked)
    server.asked.clear()
    again = HttpSource(server.url, len(FILE), FAST, servers, 100_000)
    foreseen = again.foresee(RANGES)
    again = fetch(server.url, FAST, servers)
    assert not any("," in asked for asked in server.asked)
    assert foreseen == (again.received, again.requests)


def test_a_server_that_answers_the_first_range_only_is_asked_for_one_at_a_time_from_then_on(
    server: Odd,
) -> None:
    server.behaviour = lambda request: request.single(*request.ranges[0])
    fetch(server.url, FAST)
    several = [asked for asked in server.asked if "," in asked]
    assert 1 <= len(several) <= 2  # what was in flight when the first answer came
    assert len(server.asked) <= len(RANGES) + 2


def test_a_server_without_ranges_is_priced_and_read_to_the_last_wanted_byte(
    server: Odd, tmp_path: Path
) -> None:
    server.behaviour = lambda request: request.whole()
    fetch(server.url, FAST, Servers(tmp_path))
    foreseen = HttpSource(server.url, len(FILE), FAST, Servers(tmp_path)).foresee(RANGES)
    again = fetch(server.url, FAST, Servers(tmp_path))
    assert foreseen == (RANGES[-1].stop, 1) == (again.received, again.requests)


def test_a_hole_that_is_smaller_than_what_a_part_costs_is_fetched_too(server: Odd) -> None:
    source = HttpSource(server.url, len(FILE), FAST, Servers(None))
    assert source.foresee([Range(0, 1000), Range(1050, 2000), Range(5000, 6000)]) == (3000, 1)
    got = list(source.fetch([Range(0, 1000), Range(1050, 2000), Range(5000, 6000)]))
    source.close()
    assert server.asked == ["bytes=0-1999,5000-5999"]
    assert source.received == 3000
    assert sum(len(data) for _, data in got) == 2950  # once, and only what was wanted


def test_single_ranges_on_a_long_fast_line_are_joined_across_holes(server: Odd, tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    tiny = [Range(start, start + 100) for start in range(0, 900_000, 3000)]
    servers.put(origin(server.url), Facts(Ability.SINGLE, 0.001, 12.5e6))
    near = HttpSource(server.url, len(FILE), FAST, servers)
    servers.put(origin(server.url), Facts(Ability.SINGLE, 0.6, 12.5e6))
    far = HttpSource(server.url, len(FILE), FAST, servers)
    assert near.foresee(tiny) == (100 * len(tiny), len(tiny))
    assert far.foresee(tiny)[1] < 5


def test_facts_are_kept_and_forgotten(tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    facts = Facts(Ability.MULTI, 0.25, 1e6)
    servers.put("a:1", facts)
    servers.put("b", Facts(Ability.NONE))
    assert servers.get("a:1") == facts
    assert servers.get("c") == Facts()
    path = tmp_path / "servers.json"
    path.write_text(path.read_text().replace('"at": ', '"at": -'))
    assert servers.get("a:1") == Facts()
    for nonsense in ("", "[]", '{"a:1": 3}', '{"a:1": {"ability": "all", "at": 0}}'):
        path.write_text(nonsense)
        assert servers.get("a:1") == Facts()


def over_a_line(rtt_s: float, rate: float, window: Window, turns: int = 40) -> Window:
    """A line that delivers what is asked for after a round trip, but no faster than it can."""
    now, received = 0.0, 0
    window.answered(rtt_s)
    for _ in range(turns):
        asked = max(window.size, 1000)
        now += max(rtt_s, asked / rate)
        received += asked
        window.arrived(now, received)
    return window


def test_more_is_asked_for_ahead_as_long_as_more_comes() -> None:
    for rate in (3e6, 12.5e6, 100e6):
        window = over_a_line(0.2, rate, Window(0, 0, 0.0))
        assert rate * 0.2 < window.size <= 2.1 * rate * 0.2


def test_what_was_learnt_saves_growing_but_another_network_is_noticed() -> None:
    known = Window(0.2, 12.5e6, 0.0)
    assert known.size == 5_000_000
    assert over_a_line(0.001, 1e6, Window(0.6, 1e6, 0.0)).size < 10_000
    assert over_a_line(0.6, 12.5e6, Window(0.001, 1e6, 0.0)).size > 7_500_000


def test_several_requests_are_in_flight_but_not_more_bytes_than_allowed(server: Odd) -> None:
    most, now = 0, 0
    lock = threading.Lock()

    def slow(request: Request) -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        request.properly()

    server.behaviour = slow
    fetch(server.url, Network(in_flight=40_000), request=10_000)
    assert 2 <= most <= 4


def test_with_room_for_one_request_there_is_one(server: Odd) -> None:
    now, most = 0, 0

    def counting(request: Request) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        time.sleep(0.01)
        request.properly()
        now -= 1

    server.behaviour = counting
    fetch(server.url, Network(in_flight=15_000), request=10_000)
    assert most == 1


def threads() -> int:
    return sum(thread is not threading.main_thread() for thread in threading.enumerate())


def test_a_source_that_is_left_half_way_leaves_nothing_behind(server: Odd) -> None:
    server.behaviour = lambda r: r.whole() if len(r.ranges) > 1 else r.properly()
    before = threads(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        source = HttpSource(server.url, len(FILE), FAST, Servers(None), 5000)
        next(iter(source.fetch(RANGES)))
        source.close()
    deadline = time.monotonic() + 5
    while (threads(), len(os.listdir("/proc/self/fd"))) > before and time.monotonic() < deadline:
        time.sleep(0.05)  # the server's threads end a moment later
    assert (threads(), len(os.listdir("/proc/self/fd"))) <= before
