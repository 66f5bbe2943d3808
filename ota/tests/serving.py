"""Run as a program: a command with a web server beside it, where the network is one's own and still down.

    serving.py NGINX FOLDER COMMAND...

FOLDER/publish is served at http://127.0.0.1:8080/.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

PORT = 8080
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1  # netdevice(7)

_CONFIG = """
daemon off; worker_processes 1; user root; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def main(nginx: str, folder: Path, command: list[str]) -> None:
    bring_up_loopback()
    own = folder / "nginx"
    own.mkdir()
    (own / "nginx.conf").write_text(_CONFIG.format(folder=own, port=PORT, root=folder / "publish"))
    subprocess.Popen(  # it ends with the process ids of the sandbox
        [nginx, "-p", own, "-e", own / "error.log", "-c", own / "nginx.conf"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while socket.socket().connect_ex(("127.0.0.1", PORT)):
        assert time.monotonic() < deadline, (own / "error.log").read_text()
        time.sleep(0.02)
    os.execvp(command[0], command)


def bring_up_loopback() -> None:
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
