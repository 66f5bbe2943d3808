"""`ota serve`: SWUpdate's own tools drive and show an installation by our agent."""

from __future__ import annotations

import contextlib
import fcntl
import random
import signal
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.service.messages import Type
from ota.tests.odd import Odd, Request
from ota.tests.service import Service, answer, message, serving, start, text_of, until
from ota.tests.world import SLOT_SIZE, World

MAX_GROWTH = 4 << 10  # KiB
PAYLOAD = random.Random(7).randbytes(5 << 20)

pytestmark = pytest.mark.tool("swupdate-client", "swupdate-progress")


@pytest.fixture(scope="module")
def served(shared: World) -> Iterator[Service]:
    rebooted = shared.folder / "rebooted"
    boot = f'boot = {{ environment = "file", path = "bootenv", reboot = ["touch", "{rebooted}"] }}'
    with serving(shared, boot=boot) as service:
        yield service


@pytest.fixture
def service(served: Service, world: World) -> Service:
    until(served.is_idle)
    (world.folder / "rebooted").unlink(missing_ok=True)
    return served


@pytest.fixture
def package(world: World) -> Path:
    image = world.folder / "system.img"
    image.write_bytes(PAYLOAD)
    return world.make_package(world.description(world.raw_entry(image)), image)


def installed(world: World) -> bool:
    return world.slot_b.read_bytes() == PAYLOAD + b"\xff" * (SLOT_SIZE - len(PAYLOAD))


def request(**fields: object) -> bytes:
    """REQ_INSTALL's data."""
    values = {"version": 1, "source": 0, "mode": 0, "info": b"", "set": b"", "running": b"", **fields}
    return struct.pack(
        "@IIIN512s256s256s?", *(values[name] for name in ("version", "source", "mode")), 0,
        values["info"], values["set"], values["running"], False,
    )  # fmt: skip


@pytest.mark.parametrize("program", ["swupdate-client", "swupdate-client-2022.12"])
def test_swupdates_client_installs(service: Service, package: Path, program: str) -> None:
    said = service.tool(program, "-v", package)
    assert said.status == 0, said.text
    assert "SWUpdate was successful !" in said.text
    assert installed(service.world)
    assert "boot_slot=b" in service.world.environment.read_text()
    assert service.world.ota("status").answer["last"]["version"] == "2.0"  # type: ignore[index]  # JSON


def test_swupdates_client_installs_a_delta_and_its_progress_shows_it(service: Service) -> None:
    world = service.world
    with service.watched() as wrote:
        assert service.client(world.make_delta_package(world.v2)).status == 0
        shown = wrote("SUCCESS !")
    assert bool(world.holds(world.slot_b, world.v2))
    assert shown.count("Update started !") == 1
    assert '"VERSION": "2.0"' in shown
    assert "1 of 1 0% (v2.ext4.zck-header), dwl 0% of 0 bytes" in shown
    assert "1 of 1 100% (v2.ext4.zck-header), dwl 100% of " in shown
    percents = [
        int(line.split("1 of 1 ")[1].split("%")[0]) for line in shown.splitlines() if "1 of 1" in line
    ]
    assert percents == sorted(percents)


@pytest.mark.parametrize("program", ["swupdate-client", "swupdate-client-2022.12"])
def test_why_it_failed_is_in_what_the_client_writes(service: Service, program: str) -> None:
    world = service.world
    image = world.folder / "system.img"
    image.write_bytes(PAYLOAD)
    wrong = world.description(world.raw_entry(image)).replace('[ "1.0" ]', '[ "9" ]')
    package = world.make_package(wrong, image)
    untouched = world.untouched()
    said = service.tool(program, "-v", package)
    assert said.status == 1
    assert "message: hardware-mismatch: the update is not for board 'demo'" in said.text
    assert "SWUpdate *failed* !" in said.text
    assert untouched()


def test_progress_shows_a_failure_and_why(service: Service, package: Path) -> None:
    package.write_bytes(package.read_bytes()[:-1_000_000])
    untouched = service.world.untouched()
    with service.watched() as wrote:
        assert service.client(package).status == 1
        assert "INFO : archive-truncated: " in wrote("FAILURE !")
    assert untouched()


def test_a_failure_before_the_package_is_read_reaches_the_client_too(service: Service, package: Path) -> None:
    """It comes to the progress socket only when its request was accepted."""
    with (service.world.folder / "state/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = service.client(package)
    assert said.status == 1
    assert "busy" in said.text


def test_a_dry_run_changes_nothing_and_reboots_nothing(service: Service, package: Path) -> None:
    untouched = service.world.untouched()
    with service.watched() as wrote:
        said = service.client("-d", "-p", package)
        shown = wrote("SUCCESS !")
    assert said.status == 0, said.text
    assert "no-reboot" in shown
    assert untouched()
    assert not (service.world.folder / "rebooted").exists()


def test_the_mode_that_the_client_selects_is_installed(service: Service) -> None:
    world = service.world
    image = world.folder / "system.img"
    image.write_bytes(PAYLOAD)
    package = world.make_package(world.description(world.raw_entry(image), mode="special"), image)
    assert "selection-missing" in service.client("-e", "stable,copy-b", package).text
    said = service.client("-e", "stable,special", package)
    assert said.status == 0, said.text
    assert installed(world)


def test_a_half_selection_is_refused(service: Service, package: Path) -> None:
    untouched = service.world.untouched()
    assert service.client("-e", "stable,", package).status == 1
    assert untouched()


def test_post_update_starts_the_device_anew(service: Service, package: Path) -> None:
    with service.watched() as wrote:
        said = service.client("-p", package)
        wrote("DONE.")
    assert said.status == 0, said.text
    assert (service.world.folder / "rebooted").exists()


def test_the_client_decides_whether_the_device_is_started_anew(service: Service, package: Path) -> None:
    assert service.client(package).status == 0
    assert not (service.world.folder / "rebooted").exists()


def test_after_an_update_that_failed_the_device_is_not_started_anew(service: Service, package: Path) -> None:
    assert service.client(package).status == 0
    package.write_bytes(package.read_bytes()[:1000])
    assert service.client(package).status == 1
    assert service.ask(Type.POST_UPDATE)[0] is Type.ACK
    assert not (service.world.folder / "rebooted").exists()


def test_an_update_that_wants_no_reboot_gets_none(service: Service) -> None:
    world = service.world
    image = world.folder / "system.img"
    image.write_bytes(PAYLOAD)
    description = world.description(world.raw_entry(image)).replace("stable =", "reboot = false; stable =")
    with service.watched() as wrote:
        assert service.client("-p", world.make_package(description, image)).status == 0
        assert '{"1": { "reboot-mode" : "no-reboot"}}' in wrote("DONE.")
    assert not (world.folder / "rebooted").exists()


def test_the_client_sends_what_it_reads_from_a_pipe(service: Service, package: Path) -> None:
    said = service.tool("swupdate-client", "-v", "-", fed=package.read_bytes())
    assert said.status == 0, said.text
    assert installed(service.world)


def test_a_client_that_sends_much_more_than_the_package_is_not_cut_off(
    service: Service, package: Path
) -> None:
    with package.open("ab") as file:
        file.truncate(package.stat().st_size + (16 << 20))
    said = service.client(package)
    assert said.status == 0, said.text
    assert installed(service.world)


def test_several_packages_one_after_the_other(service: Service, package: Path) -> None:
    said = service.client(package, package, package)
    assert (said.status, said.text.count("was successful")) == (0, 3)


def test_a_client_that_dies_within_the_package_changes_nothing(service: Service, package: Path) -> None:
    untouched = service.world.untouched()
    data = package.read_bytes()
    for share in (0, 100, 0.3, 0.9):
        with service.connect() as dying:
            dying.sendall(message(Type.REQ_INSTALL, request()))
            assert answer(dying)[0] is Type.ACK
            dying.sendall(data[: int(share if share > 1 else share * len(data))])
        until(service.is_idle)
        assert untouched()
        assert service.world.ota("status").answer["last"]["error"]["code"] == "archive-truncated"  # type: ignore[index]  # JSON
    assert service.client(package).status == 0


def test_a_connection_that_stays_open_behind_the_package_is_not_waited_for(
    service: Service, package: Path
) -> None:
    with service.connect() as sending:
        sending.sendall(message(Type.REQ_INSTALL, request()) + package.read_bytes() + b"garbage")
        assert answer(sending)[0] is Type.ACK
        until(lambda: installed(service.world))
    until(service.is_idle)


def test_one_installation_at_a_time(service: Service, package: Path) -> None:
    with service.connect() as first:
        first.sendall(message(Type.REQ_INSTALL, request()))
        assert answer(first)[0] is Type.ACK
        kind, data = service.ask(Type.REQ_INSTALL, request())
        assert (kind, text_of(data)) == (Type.NACK, "another installation is going on")
        assert service.client(package).status == 1
        assert service.ask(Type.SET_UPDATE_STATE, b"0")[0] is Type.NACK
        first.sendall(package.read_bytes())
        until(lambda: installed(service.world))
    until(service.is_idle)


def test_who_asks_and_for_what_is_shown(service: Service, package: Path) -> None:
    with service.watched() as wrote, service.connect() as asking:
        asking.sendall(message(Type.REQ_INSTALL, request(source=2, info=b"deployment 7")))
        assert answer(asking)[0] is Type.ACK
        asking.sendall(package.read_bytes())
        asking.shutdown(socket.SHUT_WR)
        shown = wrote("SUCCESS !")
    assert "Interface: BACKEND" in shown
    assert "INFO : deployment 7" in shown


def test_listeners_hear_what_was_and_what_comes(service: Service, package: Path) -> None:
    service.client(package)
    with service.connect() as early:
        early.sendall(message(Type.NOTIFY_STREAM))
        assert answer(early)[0] is Type.ACK
        service.tool("swupdate-client", "-d", package)
        heard: list[str] = []
        while not heard or heard[-1] != "waiting for the next update":
            kind, data = answer(early)
            assert kind is Type.NOTIFY_STREAM
            heard.append(text_of(data[12:]))
    assert heard[0] == "the update starts"
    assert "the update can be installed" in heard


def test_board_and_revision(service: Service) -> None:
    kind, data = service.ask(Type.GET_HW_REVISION)
    assert (kind, text_of(data), text_of(data[256:])) == (Type.ACK, "demo", "1.0")


def test_the_state_of_an_update_is_read_and_written(service: Service) -> None:
    assert service.ask(Type.GET_UPDATE_STATE)[1][:1] == b"4"  # not available
    assert service.ask(Type.SET_UPDATE_STATE, b"2")[0] is Type.ACK
    assert "ustate=2" in service.world.environment.read_text()
    assert service.ask(Type.GET_UPDATE_STATE)[1][:1] == b"2"
    for wrong in (b"8", b"a", b"\0"):
        assert service.ask(Type.SET_UPDATE_STATE, wrong)[0] is Type.NACK
    assert service.ask(Type.GET_UPDATE_STATE)[1][:1] == b"2"


def versions(lowest: str = "", highest: str = "", current: str = "", update_type: str = "") -> bytes:
    return struct.pack(
        "256s256s256s256s", *(text.encode() for text in (lowest, highest, current, update_type))
    )


def test_versions_that_a_client_rules_out_within_what_the_configuration_does(
    world: World, package: Path
) -> None:
    """The package's version is 2.0."""
    with serving(world, versions='versions = { no_downgrading = "1.0", max_version = "3.0" }') as service:
        for wider in (versions(lowest="0.9"), versions(highest="4.0"), versions(update_type="x")):
            assert service.ask(Type.SET_VERSIONS_RANGE, wider)[0] is Type.NACK
        for asked, is_refused in (
            (versions(lowest="2.1"), True),
            (versions(lowest="2.0", highest="1.9"), True),
            (versions(highest="2.0", current="2.0"), True),
            (versions(current="1.5"), False),
        ):
            assert service.ask(Type.SET_VERSIONS_RANGE, asked)[0] is Type.ACK
            said = service.client("-d", package)
            assert ("version-refused" in said.text) == (said.status == 1) == is_refused, said.text


def test_the_tools_of_older_releases_show_it_too(world: World, package: Path) -> None:
    network = 'service.tools = "2022.12"\nnetwork = { ca = "nginx/tls-ca.pem" }'
    with serving(world, network=network) as service, service.watched("swupdate-progress-2022.12") as wrote:
        assert service.tool("swupdate-client-2022.12", "-v", package).status == 0
        assert "1 of 1 100% (system.img)" in wrote("SUCCESS !")


def test_sigterm_ends_it(world: World) -> None:
    with serving(world) as service:
        with service.connect("swupdateprog"), service.connect():
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(5) == 0
        assert list(service.folder.glob("s*")) == []


def test_sigterm_within_an_installation_is_said_and_the_next_run_goes_on(world: World) -> None:
    published = world.make_delta(world.v2)[0].read_bytes()
    wanted = 300_000

    def stalling(request: Request) -> None:
        """Some of what is asked for, and no more."""
        start, stop = request.ranges[0]
        whole = request.file[start:stop]
        given = whole[: max(0, wanted - request.server.sent)]
        where = f"bytes {start}-{stop - 1}/{len(request.file)}"
        request.answer(206, given, len(whole), Content_Range=where)
        if len(given) < len(whole):
            request.slowly(whole[len(given) :], bytes_a_second=5)

    with Odd(published, stalling) as server:
        package = world.make_delta_package(world.v2, server.url)
        with serving(world, network='network = { in_flight = "64K", retries = 0 }') as service:
            with service.connect() as sending:
                sending.sendall(message(Type.REQ_INSTALL, request()) + package.read_bytes())
                assert answer(sending)[0] is Type.ACK
                sending.shutdown(socket.SHUT_WR)
                until(lambda: "in_progress" in world.environment.read_text())
                until(lambda: server.sent > wanted)
                with service.connect() as listening:
                    listening.sendall(message(Type.NOTIFY_STREAM))
                    answer(listening)
                    service.process.send_signal(signal.SIGTERM)
                    heard = [text_of(data[12:]) for _, data in iter(lambda: answer(listening), (None, b""))]
            assert service.process.wait(10) == 130
            assert "interrupted; send the package again to go on" in heard
            assert "recovery_status=failed" in world.environment.read_text()
        server.behaviour = Request.properly
        with serving(world) as service:
            assert service.client(package).status == 0
        assert bool(world.holds(world.slot_b, world.v2))


def test_everybody_may_ask_as_with_swupdate(service: Service) -> None:
    for name in ("sockinstctrl", "swupdateprog"):
        assert stat.S_IMODE((service.folder / name).stat().st_mode) == 0o666


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('service.tools = "1999.1"', "config-value"),
        ('service.port = "8080"', "config-key"),
        ('service.folder = "nowhere"', "service-socket"),
        (f'service.folder = "{"long" * 30}"', "service-socket"),
    ],
)
def test_what_cannot_be_served_is_refused(world: World, line: str, code: str) -> None:
    world.write_config(service=line)
    assert world.ota("serve").code == code


def test_a_second_service_is_refused_and_a_dead_ones_sockets_are_taken_over(world: World) -> None:
    with serving(world) as service:
        refused = world.ota("serve")
        assert refused.code == "service-socket"
        assert service.is_idle()
        service.process.kill()
        service.process.wait()
    assert (service.folder / "sockinstctrl").is_socket()
    with start(world, service.folder) as service:
        assert service.is_idle()


def test_a_service_that_has_no_time_is_not_taken_for_dead(world: World) -> None:
    path = world.folder / "sockinstctrl"
    world.write_config(service='service.folder = "."')
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as opened:
        listening.bind(str(path))
        listening.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = opened.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        assert world.ota("serve").code == "service-socket"
        assert path.is_socket()
    path.unlink()


def test_what_is_not_a_socket_is_left_alone(world: World) -> None:
    (world.folder / "file").mkdir(exist_ok=True)
    (world.folder / "file/sockinstctrl").write_text("precious")
    world.write_config(service='service.folder = "file"')
    assert world.ota("serve").code == "service-socket"
    assert (world.folder / "file/sockinstctrl").read_text() == "precious"


def test_sockets_may_come_from_systemd(world: World, package: Path) -> None:
    folder = world.folder / "activated"
    folder.mkdir()
    made = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for listening, name in zip(made, ("sockinstctrl", "swupdateprog"), strict=True):
        listening.bind(str(folder / name))
        listening.listen()
    world.write_config()
    with start(world, folder, activated=made) as service:
        assert service.client(package).status == 0
        assert installed(world)
        service.process.terminate()
        assert service.process.wait(5) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["sockinstctrl", "swupdateprog"]
    for listening in made:
        listening.close()


def test_many_failing_installations_leave_nothing_behind(service: Service, package: Path) -> None:
    check_failures(service, package, 12)


@pytest.mark.faults
def test_hundreds_of_failing_installations_leave_nothing_behind(
    service: Service, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_failures(service, package, 200)
    with capsys.disabled():
        print("\nfailures injected: 200, violations: 0")


def check_failures(service: Service, package: Path, count: int) -> None:
    data = package.read_bytes()
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    bad = (b"", b"nonsense" * 1000, data[:100], data[: len(data) // 2], bytes(damaged))
    for number in range(count):
        if number == count // 4:
            before = service.descriptors(), service.number("Threads")
            memory = service.number("VmRSS")
        with service.connect() as sending:
            asked = request() if number % 6 else request(set=b"stable", running=b"none")
            sending.sendall(message(Type.REQ_INSTALL, asked))
            assert answer(sending)[0] is Type.ACK
            with contextlib.suppress(OSError):
                sending.sendall(bad[number % len(bad)])
        until(service.is_idle)
        assert not installed(service.world)
    assert (service.descriptors(), service.number("Threads")) == before
    assert service.number("VmRSS") - memory <= MAX_GROWTH
    assert service.client(package).status == 0
