"""A device of its own for one program: whatever a package makes it do, the machine around is not touched.

Mounts, processes, network and System V memory are private and end with the program. Everything is read-only
but `/srv`, which is the device's folder, and `/mnt`, which is `target` in it. `/dev` holds the usual nodes
and those block devices that the caller names, by their own names too, as the kernel's /sys speaks of those.
So two programs may meet the same names and different devices. Needs root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = Path("/srv")  # the device's folder, inside
TARGET: Final = Path("/mnt")

_UNSHARE: Final = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--ipc")
_NODES: Final = {"null": "1 3", "zero": "1 5", "full": "1 7", "random": "1 8", "urandom": "1 9"}

# Arguments: the device's folder, what `nodes` says, then the command. Links in /dev as the kernel's
# documentation asks for them (admin-guide/devices.txt, "Compulsory links").
_SCRIPT: Final = """
set -e
mount --make-rprivate /
for point in $(cut -d" " -f5 /proc/self/mountinfo); do
    mount -o remount,bind,ro "$point" 2>&1 || :
done >/dev/null
touch /.writable 2>/dev/null && exit 1
mount --bind "$1" /srv
mount -o remount,bind,rw /srv
mount --bind /srv/target /mnt
mount -t tmpfs -o mode=755 dev /dev
mount -t tmpfs block /sys/block
while read -r name kind major minor; do
    mknod -m 660 "/dev/$name" "$kind" "$major" "$minor"
    [ "$kind" = b ] || continue
    real=$(readlink -f "/sys/dev/block/$major:$minor")
    mknod -m 660 "/dev/${real##*/}" b "$major" "$minor"
    [ -e "$real/partition" ] || ln -s "$real" "/sys/block/$name"
done < /srv/nodes
chmod 666 /dev/null /dev/zero /dev/full /dev/random /dev/urandom
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr
cd /srv
shift
set +e
"$@"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended."""

    status: int | None  # 128 + n after signal n; None: it did not end in time
    out: str
    log: str  # stderr


def run(
    command: Sequence[str | Path],
    folder: Path,
    devices: Mapping[str, int],
    environment: Mapping[str, str],
    timeout_s: float,
) -> Done:
    """Run a program in `folder`, which has `target` and `tmp` in it.

    Args:
        devices: name in /dev -> device number of the block device that it is.
    """
    nodes = [f"{name} c {numbers}" for name, numbers in _NODES.items()]
    nodes += [f"{name} b {os.major(number)} {os.minor(number)}" for name, number in devices.items()]
    (folder / "nodes").write_text("\n".join(nodes) + "\n")
    process = subprocess.Popen(
        ["unshare", *_UNSHARE, "sh", "-c", _SCRIPT, "sh", folder, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # what ends its whole process group does not end ours
        env={"PATH": os.environ["PATH"], "TMPDIR": str(HOME / "tmp"), **environment},
    )
    try:
        out, log = process.communicate(timeout=timeout_s)
        return Done(process.returncode, out, log)
    except subprocess.TimeoutExpired:
        process.kill()
        out, log = process.communicate()
        return Done(None, out, log)
    finally:
        process.kill()
        process.wait()
