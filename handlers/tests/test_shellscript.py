"""Scripts of a package: when they are called and how, and what becomes of bad ones."""

from __future__ import annotations

import gzip
import logging
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers import ANYWHERE, HANDLERS
from ota.boot.file import FileEnvironment
from ota.job import Job, Row
from ota.tests import stock
from ota.tests.world import World, sha256

IMAGE = b"the new system\n" * 5000
BEFORE = "boot_slot=a\n"
FAILED = "boot_slot=a\nrecovery_status=failed\nustate=3\n"


class Scripts:
    """A package with scripts, which may write into `log`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = world.folder / "log"
        self.log.unlink(missing_ok=True)
        self.image = world.folder / "system.img"
        self.image.write_bytes(IMAGE)
        self._entries: list[str] = []
        self._members: list[Path] = [self.image]

    def add(self, name: str, text: str, kind: str = "shellscript", more: str = "") -> None:
        script = self.world.folder / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        self.add_file(script, kind, more)

    def add_file(self, file: Path, kind: str = "shellscript", more: str = "") -> None:
        self._entries.append(
            f'{{ filename = "{file.name}"; type = "{kind}"; sha256 = "{sha256(file)}"; {more} }}'
        )
        self._members.append(file)

    def package(self, more: str = "") -> Path:
        text = self.world.description(self.world.raw_entry(self.image))
        scripts = f"scripts: ( {', '.join(self._entries)} ); {more} images:"
        return self.world.make_package(text.replace("images:", scripts), *self._members)

    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def is_written(self) -> bool:
        return self.world.slot_b.read_bytes().startswith(IMAGE)


@pytest.fixture
def scripts(world: World) -> Scripts:
    return Scripts(world)


def look(scripts: Scripts) -> str:
    """A script that notes its arguments, and what is done already."""
    world = scripts.world
    return f"""
        slot=$(head -c 3 {world.slot_b})
        [ "$slot" = the ] || slot=old
        vars=$(cat {world.folder}/state/vars 2>/dev/null)
        echo "$(basename $0) $* | $slot | $vars | $(tr '\\n' ' ' <{world.environment})" >>{scripts.log}
    """


def test_everything_comes_in_its_order(scripts: Scripts) -> None:
    scripts.add("one", look(scripts), more='data = "x";')
    scripts.add("first", look(scripts), "preinstall")
    scripts.add("last", look(scripts), "postinstall", 'data = "y z";')
    scripts.add("two", look(scripts))
    package = scripts.package('vars: ( { name = "count"; value = "3"; } );')
    assert scripts.world.ota("install", package).status == 0
    begun = "boot_slot=a recovery_status=in_progress ustate=7 "
    assert scripts.said() == [
        f"one preinst x | old |  | {begun}",
        f"first  | old |  | {begun}",
        f"two preinst | old |  | {begun}",
        f"one postinst x | the |  | {begun}",
        f"last y z | the |  | {begun}",
        f"two postinst | the |  | {begun}",
    ]
    assert (scripts.world.folder / "state/vars").read_text() == "count=3\n"
    assert scripts.world.environment.read_text() == "boot_slot=b\nustate=1\n"
    assert not (scripts.world.folder / "state/scripts").exists()


@pytest.mark.parametrize("when", ["preinst", "postinst"])
def test_where_one_fails_the_update_has_failed_and_all_are_told(scripts: Scripts, when: str) -> None:
    scripts.add("one", look(scripts))
    scripts.add("two", f"{look(scripts)}\n[ $1 != {when} ] || exit 3")
    scripts.add("three", f"{look(scripts)}\n[ $1 != postfailure ] || exit 4")
    scripts.add("four", f"[ $1 != postfailure ] || {look(scripts).strip()}")
    package = scripts.package('vars: ( { name = "count"; value = "3"; } );')
    outcome = scripts.world.ota("install", package)
    assert (outcome.status, outcome.code) == (3, "script-failed")
    assert "two" in outcome.errors and "status 3" in outcome.errors
    failed = [line for line in scripts.said() if "postfailure" in line]
    assert [line.split()[0] for line in failed] == ["one", "two", "three", "four"]
    assert all("recovery_status=failed" in line for line in failed)
    assert scripts.is_written() == (when == "postinst")
    assert not [line for line in scripts.said() if line.startswith("three preinst") and when == "preinst"]
    assert scripts.world.environment.read_text() == FAILED
    assert not (scripts.world.folder / "state/vars").exists()
    assert not (scripts.world.folder / "state/scripts").exists()


def test_what_a_script_switched_is_switched_back_where_the_update_fails(scripts: Scripts) -> None:
    switch = f"echo boot_slot=b >{scripts.world.environment}"
    scripts.add("one", f"[ $1 != postinst ] || {{ {switch}; exit 1; }}")
    assert scripts.world.ota("install", scripts.package()).code == "script-failed"
    assert scripts.world.environment.read_text() == FAILED


@pytest.mark.parametrize("arguments", [("install", "--dry-run"), ("plan",)], ids=["dry-run", "plan"])
def test_nothing_runs_where_nothing_is_installed(scripts: Scripts, arguments: tuple[str, ...]) -> None:
    scripts.add("one", f"touch {scripts.log}")
    untouched = scripts.world.untouched()
    assert scripts.world.ota(*arguments, scripts.package()).status == 0
    assert not scripts.log.exists()
    assert untouched()


def test_what_is_refused_before_the_first_write_is_no_failure_to_tell_of(scripts: Scripts) -> None:
    scripts.add("one", f"touch {scripts.log}")
    broken = scripts.world.folder / "broken.gz"
    broken.write_bytes(gzip.compress(b"#!/bin/sh\nexit 0\n")[:-3])
    scripts.add_file(broken, more='compressed = "zlib";')
    untouched = scripts.world.untouched()
    assert scripts.world.ota("install", scripts.package()).code == "payload-format"
    assert not scripts.log.exists()
    assert untouched()


HOSTILE = {
    "fails": "exit 3",
    "hangs": "sleep 77701",
    "hangs and ignores the polite signal": "trap '' TERM; sleep 77701",
    "prints without end": "yes",
    "closes its output and fails": "exec >&- 2>&-; exit 1",
    "leaves a daemon and fails": "sleep 77701 & exit 1",
    "ends its whole group": "kill -9 0",
    "is ended by a signal": "kill -11 $$",
    "is no program": "exec /no/such/program",
    "reads what is not there": "read line",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_bad_one_fails_the_update_and_leaves_nothing_running(scripts: Scripts, text: str) -> None:
    scripts.world.write_config(limits="limits.script_s = 1")
    scripts.add("one", f"[ $1 != preinst ] || {{ {text}; }}")
    start = time.monotonic()
    assert scripts.world.ota("install", scripts.package()).code == "script-failed"
    assert time.monotonic() - start < 5
    assert subprocess.run(["pgrep", "-f", "[s]leep 77701"], capture_output=True).returncode == 1
    assert scripts.world.environment.read_text() == FAILED


def test_a_postfailure_that_hangs_holds_nothing_up_for_longer_than_its_time(scripts: Scripts) -> None:
    scripts.world.write_config(limits="limits.script_s = 1")
    scripts.add("one", "case $1 in postinst) exit 9;; postfailure) sleep 77701;; esac")
    outcome = scripts.world.ota("install", scripts.package())
    assert (outcome.code, "status 9" in outcome.errors) == ("script-failed", True)
    assert scripts.world.environment.read_text() == FAILED


def test_it_is_called_as_swupdate_calls_it(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("PRODUCT", "gate way")
    note = f"""
        for word; do echo "[$word]" >>{scripts.log}; done
        pwd >>{scripts.log}; stat -c %a "$0" >>{scripts.log}; wc -c >>{scripts.log}
        echo info >&"$SWUPDATE_INFO_FD"; echo warn >&"$SWUPDATE_WARN_FD"
    """
    scripts.add("one", note, "preinstall", """data = "a 'b c' \\"$PRODUCT\\" $PRODUCT";""")
    outcome = scripts.world.ota("install", scripts.package())
    assert outcome.status == 0, outcome
    assert scripts.said() == ["[a]", "[b c]", "[gate way]", "[gate]", "[way]", str(Path.cwd()), "700", "0"]
    assert caplog.messages[-2:] == ["one: info", "one: warn"]


def test_its_name_may_be_of_several_words(scripts: Scripts) -> None:
    scripts.add("a script; exit 1", f'echo "$1" >>{scripts.log}')
    assert scripts.world.ota("install", scripts.package()).status == 0
    assert scripts.said() == ["preinst", "postinst"]


def test_scripts_of_a_package_find_each_other(scripts: Scripts) -> None:
    scripts.add("one", f'. "$(dirname "$0")/common"; note {scripts.log}', "preinstall")
    scripts.add("common", 'note() { echo "noted" >>"$1"; }', "postinstall")
    assert scripts.world.ota("install", scripts.package()).status == 0
    assert scripts.said() == ["noted"]


def test_one_file_may_be_called_twice(scripts: Scripts) -> None:
    for word in ("left", "right"):
        scripts.add("one", f'echo "$@" >>{scripts.log}', more=f'data = "{word}";')
    assert scripts.world.ota("install", scripts.package()).status == 0
    assert scripts.said() == ["preinst left", "preinst right", "postinst left", "postinst right"]


def test_a_device_that_it_names_and_that_changes_meanwhile_does_not_silence_it(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def partition(*_: object) -> Job:
        return Job(changes=(scripts.world.slot_b,))

    monkeypatch.setitem(HANDLERS, "dummy", Row(lambda: partition, ANYWHERE, has_data=False))
    scripts.add("one", f'echo "$1" >>{scripts.log}; [ $1 != postinst ]', more='device = "/dev/mmcblk0p3";')
    package = scripts.package('partitions: ( { type = "dummy"; device = "/dev/mmcblk0p3"; } );')
    assert scripts.world.ota("install", package).code == "script-failed"
    assert scripts.said() == ["preinst", "postinst", "postfailure"]
    assert not (scripts.world.folder / "state/scripts").exists()


def test_it_may_be_compressed_and_need_no_interpreter_line(scripts: Scripts) -> None:
    packed = scripts.world.folder / "packed"
    packed.write_bytes(gzip.compress(f'echo "$1" >>{scripts.log}\n'.encode()))
    scripts.add_file(packed, more='compressed = "zlib";')
    assert scripts.world.ota("install", scripts.package()).status == 0
    assert scripts.said() == ["preinst", "postinst"]


def test_one_that_unpacks_without_end_is_refused_before_the_first_write(scripts: Scripts) -> None:
    bomb = scripts.world.folder / "bomb"
    with gzip.open(bomb, "wb", 1) as file:
        for _ in range(40):
            file.write(bytes(1 << 20))
    scripts.add_file(bomb, more='compressed = "zlib";')
    untouched = scripts.world.untouched()
    assert scripts.world.ota("install", scripts.package()).code == "member-size"
    assert untouched()
    assert not (scripts.world.folder / "state/scripts").exists()


@pytest.fixture
def noexec(world: World) -> Iterator[None]:
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("needs root")
    state = world.folder / "state"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", state], check=True)
    yield
    subprocess.run(["umount", state], check=True)


@pytest.mark.usefixtures("noexec")
def test_a_state_folder_that_is_mounted_noexec_is_named_before_the_first_write(scripts: Scripts) -> None:
    scripts.add("one", "exit 0")
    untouched = scripts.world.untouched()
    outcome = scripts.world.ota("install", scripts.package())
    assert (outcome.code, "state_dir" in outcome.errors) == ("state-noexec", True)
    assert untouched()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("when", ["preinst", "postinst"])
def test_power_that_goes_in_the_middle_of_one_is_survived(scripts: Scripts, when: str) -> None:
    world = scripts.world
    hang, started = world.folder / "hang", world.folder / "started"
    hang.touch()
    scripts.add("one", f"[ $1 != {when} ] || [ ! -e {hang} ] || {{ echo $$ >{started}; sleep 60; }}")
    package = scripts.package()
    running = world.start("install", package)
    wait_for(started)
    time.sleep(0.05)
    running.kill()
    running.communicate()
    os.killpg(os.getpgid(int(started.read_text())), signal.SIGKILL)  # the power would have ended it, too
    started.unlink()
    environment = FileEnvironment(world.environment)
    names = ("boot_slot", "recovery_status", "ustate")
    assert [environment.get(name) for name in names] == ["a", "in_progress", "7"]
    assert scripts.is_written() == (when == "postinst")
    folder = world.folder / "state/scripts"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "of an earlier package").write_text("secret")
    hang.unlink()
    assert world.ota("install", package).status == 0
    assert scripts.is_written()
    assert world.environment.read_text() == "boot_slot=b\nustate=1\n"
    assert not folder.exists()


def test_ctrl_c_ends_the_script_too(scripts: Scripts) -> None:
    started = scripts.world.folder / "begun"
    scripts.add("one", f"[ $1 != preinst ] || {{ touch {started}; sleep 77702; }}")
    running = scripts.world.start("install", scripts.package())
    wait_for(started)
    running.send_signal(signal.SIGINT)
    running.communicate()
    assert running.returncode == 130
    assert subprocess.run(["pgrep", "-f", "[s]leep 77702"], capture_output=True).returncode == 1
    assert scripts.world.environment.read_text() == FAILED


@pytest.mark.compat
@pytest.mark.parametrize("exit_with", [0, 1], ids=["done", "failed"])
def test_stock_swupdate_calls_them_in_the_same_order_with_the_same_arguments(
    scripts: Scripts, exit_with: int
) -> None:
    note = f'{{ basename $0; for word; do echo "[$word]"; done; }} >>{scripts.log}'
    data = """data = "a 'b c' $((1 + 1)) ; true";"""
    scripts.add("one", note, more=data)
    scripts.add("first", note, "preinstall", data)
    scripts.add("last", note, "postinstall", data)
    scripts.add("two", f"{note}; [ $1 != postinst ] || exit {exit_with}")
    package = scripts.package()
    assert (scripts.world.ota("install", package).status == 0) == (exit_with == 0)
    ours = scripts.said()
    assert ("[postfailure]" in ours) == (exit_with != 0)
    scripts.log.unlink()
    assert stock.install(scripts.world, stock.BACKPORTS, package).installed == (exit_with == 0)
    assert scripts.said() == ours
