"""Runs in the guest: carries out what the tests say, over a virtio-serial port.

    driver.py [--preload]

One JSON object a line in, {"command": ["ota", "status"]}; one out, {"status": 0, "out": "...", "errors": "",
"wall_s": 0.1, "cpu_s": 0.1, "peak_rss_bytes": 1}. On the console it prints READY when it listens.

With `--preload` it has imported `ota.cli` beforehand and runs `ota ...` in a fork of itself: it is the same
installed code, and only the start of the interpreter, which takes seconds in an emulator, is saved.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READY = "driver: ready"
PORT = "otakit"
PRELOADED = (
    "ota.cli",
    "ota.installation",
    "ota.decision",
    "ota.io.session",
    "ota.startup.sequence",
    "ota.status",
    "handlers.delta",
)


def main() -> None:
    if "--preload" in sys.argv:
        preload()
    port = os.open(find_port(), os.O_RDWR)
    Path("/dev/console").write_text(f"\r\n{READY}\r\n")
    rest = b""
    while True:
        data = os.read(port, 1 << 16)
        if not data:  # nobody is connected
            time.sleep(0.02)
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            answer = json.dumps(carry_out(json.loads(line)["command"])).encode() + b"\n"
            while answer:
                answer = answer[os.write(port, answer) :]


def preload() -> None:
    """All that the commands of the tests import in the end, and what that loads."""
    for name in PRELOADED:
        importlib.import_module(name)


def find_port() -> Path:
    """udev would make a link of that name; not every guest has it."""
    while True:
        for port in Path("/sys/class/virtio-ports").glob("*"):
            name = port / "name"
            if (
                name.exists()
                and name.read_text().strip() == PORT
                and (device := Path("/dev", port.name)).exists()
            ):
                return device
        time.sleep(0.05)


def carry_out(command: list[str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        if command[0] == "ota" and "ota.cli" in sys.modules:
            pid = fork(command[1:], out.fileno(), errors.fileno())
        else:
            pid = spawn(command, out.fileno(), errors.fileno())
        _, status, used = os.wait4(pid, 0)
        for file in (out, errors):
            file.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "out": out.read().decode(errors="replace"),
            "errors": errors.read().decode(errors="replace"),
            "wall_s": round(time.monotonic() - began, 3),
            "cpu_s": round(used.ru_utime + used.ru_stime, 3),
            "peak_rss_bytes": used.ru_maxrss * 1024,
        }


def fork(arguments: list[str], out: int, errors: int) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.dup2(out, 1)
        os.dup2(errors, 2)
        status = sys.modules["ota.cli"].main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def spawn(command: list[str], out: int, errors: int) -> int:
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors).pid
    except OSError as error:
        return subprocess.Popen(["sh", "-c", 'echo "$1" >&2; exit 127', "sh", str(error)], stderr=errors).pid


if __name__ == "__main__":
    main()
