#!/usr/bin/env python3
"""Where this machine gets Debian (or Ubuntu) packages from, taken from its own apt configuration.

``archive.py SUITE...`` prints one line for sources.list each. Suites that the machine does not use
itself have the address of the one it does.
"""

import platform
import re
import subprocess
import sys

_KEYRING = "/usr/share/keyrings/{}-archive-keyring.gpg"
_COMPONENTS = {"debian": "main", "ubuntu": "main universe"}


def release() -> tuple[str, str]:
    """This machine's distribution and the code name of its release: ("debian", "bookworm")."""
    words = platform.freedesktop_os_release()
    if words["ID"] not in _COMPONENTS:
        sys.exit(f"Packages of Debian or Ubuntu are needed; this is {words.get('PRETTY_NAME', words['ID'])}.")
    return words["ID"], words.get("VERSION_CODENAME", "sid")


def deb_line(suite: str) -> str:
    """The line of sources.list for a suite; its packages must be signed by the distribution's own keys."""
    distribution, codename = release()
    own = suite if suite == f"{codename}-security" else codename
    # --print-uris reads the configuration only, so it also works before the first `apt-get update`.
    print_uris = ["apt-get", "update", "--print-uris"]
    uris = subprocess.run(print_uris, check=True, capture_output=True, text=True).stdout
    for name in (own, own.replace(codename, "stable")):
        if found := re.search(rf"^'(\S+)/dists/{re.escape(name)}/InRelease'", uris, re.MULTILINE):
            options = f"signed-by={_KEYRING.format(distribution)}"
            return f"deb [{options}] {found[1]} {suite} {_COMPONENTS[distribution]}"
    sys.exit(f"apt's configuration names no archive for {own}.")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(deb_line(argument))
