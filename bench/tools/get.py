#!/usr/bin/env python3
"""Makes outside programs available as build/tools/bin/NAME: ``get.py NAME...`` or ``get.py --all``.

All are those that `make test` wants; a browser, which is large, is fetched by its name.

Nothing is installed and no setting of the machine changes. Packages come from the archive that this
machine uses, through a private apt state; those of a suite are unpacked into one folder, where programs
run with their own libraries, the C library included. So they are the same on every machine.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archive import deb_line, release

TOOLS = Path(__file__).resolve().parents[2] / "build" / "tools"

# Debian 12's suites on every Debian, so that every machine compares with the same programs.
STABLE, BACKPORTS = "bookworm", "bookworm-backports"
NATIVE = "native"  # this machine's own suite: for what works with its apt, or is held against its libraries


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, where it comes from, and its version: "1.3+" is 1.3 or later, "2022.12" only that."""

    name: str
    version: str
    suite: str
    program: str  # path in the first package
    packages: tuple[str, ...]  # the others are libraries loaded at run time
    environment: str = ""  # of the program; $root is the folder of the suite


ALL = (
    Tool("swupdate-2022.12", "2022.12", STABLE, "usr/bin/swupdate", ("swupdate", "libubootenv0.1")),
    Tool("swupdate-2024.12", "2024.12", BACKPORTS, "usr/bin/swupdate", ("swupdate",)),
    Tool("swupdate-client-2022.12", "2022.12", STABLE, "usr/bin/swupdate-client", ("swupdate",)),
    Tool("swupdate-client", "2024.12", BACKPORTS, "usr/bin/swupdate-client", ("swupdate",)),
    Tool("swupdate-progress-2022.12", "2022.12", STABLE, "usr/bin/swupdate-progress", ("swupdate",)),
    Tool("swupdate-progress", "2024.12", BACKPORTS, "usr/bin/swupdate-progress", ("swupdate",)),
    Tool("zck", "1.3+", BACKPORTS, "usr/bin/zck", ("zchunk",)),
    Tool("unzck", "1.3+", BACKPORTS, "usr/bin/unzck", ("zchunk",)),
    Tool("zck_read_header", "1.3+", BACKPORTS, "usr/bin/zck_read_header", ("zchunk",)),
    Tool("zck_delta_size", "1.3+", BACKPORTS, "usr/bin/zck_delta_size", ("zchunk",)),
    # From 1.47.1 on mke2fs reads a tarball, through libarchive, and gives every inode SOURCE_DATE_EPOCH.
    Tool("mke2fs", "1.47.1+", BACKPORTS, "sbin/mke2fs", ("e2fsprogs", "libarchive13"),
         environment='MKE2FS_CONFIG="$root/etc/mke2fs.conf"'),
    Tool("mkfs.ext4", "1.47.1+", BACKPORTS, "sbin/mkfs.ext4", ("e2fsprogs", "libarchive13"),
         environment='MKE2FS_CONFIG="$root/etc/mke2fs.conf"'),
    # The last that does not: what it makes is what lint has to find.
    Tool("mke2fs-1.47.0", "1.47.0", STABLE, "sbin/mke2fs", ("e2fsprogs",),
         environment='MKE2FS_CONFIG="$root/etc/mke2fs.conf"'),
    Tool("sfdisk", "2.38+", STABLE, "sbin/sfdisk", ("fdisk",)),
    Tool("mkfs.vfat", "4.2+", STABLE, "sbin/mkfs.vfat", ("dosfstools",)),
    Tool("fatlabel", "4.2+", STABLE, "sbin/fatlabel", ("dosfstools",)),
    Tool("e2fsck", "1.47.1+", BACKPORTS, "sbin/e2fsck", ("e2fsprogs",)),
    Tool("debugfs", "1.47.1+", BACKPORTS, "sbin/debugfs", ("e2fsprogs",)),
    Tool("rdiff", "2.3+", NATIVE, "usr/bin/rdiff", ("rdiff",)),
    Tool("nginx", "1.18+", STABLE, "usr/sbin/nginx", ("nginx",)),
    Tool("mksquashfs", "4.5+", STABLE, "usr/bin/mksquashfs", ("squashfs-tools",)),
    Tool("unsquashfs", "4.5+", STABLE, "usr/bin/unsquashfs", ("squashfs-tools",)),
    Tool("mkfs.erofs", "1.4+", STABLE, "usr/bin/mkfs.erofs", ("erofs-utils",)),
    Tool("dump.erofs", "1.4+", STABLE, "usr/bin/dump.erofs", ("erofs-utils",)),
    Tool("fw_printenv", "0.3+", STABLE, "usr/bin/fw_printenv", ("libubootenv-tool",)),
    Tool("fw_setenv", "0.3+", STABLE, "usr/bin/fw_setenv", ("libubootenv-tool",)),
    # From 0.3.4 on they know namespaces.
    Tool("fw_printenv-0.3.5", "0.3.5+", BACKPORTS, "usr/bin/fw_printenv", ("libubootenv-tool",)),
    Tool("fw_setenv-0.3.5", "0.3.5+", BACKPORTS, "usr/bin/fw_setenv", ("libubootenv-tool",)),
    Tool("mkenvimage", "2022+", STABLE, "usr/bin/mkenvimage", ("u-boot-tools",)),
    Tool("grub-editenv", "2.06+", STABLE, "usr/bin/grub-editenv", ("grub-common",)),
    Tool("cpio", "2.13+", STABLE, "bin/cpio", ("cpio",)),
    Tool("shellcheck", "0.8+", STABLE, "usr/bin/shellcheck", ("shellcheck",)),
    Tool("mmdebstrap", "1.0+", NATIVE, "usr/bin/mmdebstrap", ("mmdebstrap",),
         environment='PATH="$root/usr/bin:$PATH"'),
)  # fmt: skip

BROWSER = (
    # It starts itself again by /proc/self/exe, which may not be a dynamic linker.
    Tool("chromium", "120+", NATIVE, "usr/lib/chromium/chromium", ("chromium",),
         environment='FONTCONFIG_SYSROOT="$root" LD_LIBRARY_PATH="$(IFS=:;'
                     ' set -- "$root"/lib/*-gnu "$root"/usr/lib/*-gnu "$root"/usr/lib/*-gnu/pulseaudio;'
                     ' echo "$*")"'),
    Tool("chromedriver", "120+", NATIVE, "usr/bin/chromedriver", ("chromium-driver",)),
)  # fmt: skip

# Needed only for installing, or there wherever apt is: declared as installed. All else counts as missing, so
# that apt fetches whatever a program needs in order to run.
_DECLARED = (
    "apt", "debconf", "dpkg", "init-system-helpers", "iproute2", "logsave", "mount", "perl", "python3",
    "systemd", "sysuser-helper", "tar",
)  # fmt: skip


def get(tools: Sequence[Tool]) -> None:
    """Fetches and unpacks what is not there yet; what an interrupted run left is done again."""
    if all(_is_there(tool) for tool in tools):
        return
    with _locked(TOOLS / "lock"):
        missing = [tool for tool in tools if not _is_there(tool)]
        suites = sorted({_suite(tool) for tool in missing})
        if missing:
            _update(suites)
        for suite in suites:
            _get_suite(suite, [tool for tool in missing if _suite(tool) == suite])


def _suite(tool: Tool) -> str:
    """The suite as the archive names it. Ubuntu has no bookworm: its own release stands for it."""
    distribution, codename = release()
    if tool.suite == NATIVE:
        return codename
    return tool.suite if distribution == "debian" else tool.suite.replace(STABLE, codename)


def _is_there(tool: Tool) -> bool:
    """Whether the wrapper, which is written last, is that of this very line of the table."""
    wrapper = _wrapper(tool)
    return wrapper.exists() and wrapper.read_text().startswith(_head(tool))


def _wrapper(tool: Tool) -> Path:
    return TOOLS / "bin" / tool.name


def _head(tool: Tool) -> str:
    return f'#!/bin/sh\n# {tool}\nroot="${{0%/*}}/../{_suite(tool)}"\n'


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _get_suite(suite: str, tools: Sequence[Tool]) -> None:
    print(f"tools: {' '.join(tool.name for tool in tools)} ({suite})", flush=True)
    packages = sorted({package for tool in tools for package in tool.packages})
    archives = TOOLS / "apt" / "archives"
    for left_over in archives.glob("*.deb"):
        left_over.unlink()
    _apt_get("install", "--download-only", "--yes", "--target-release", suite, *packages)
    debs = list(archives.glob("*.deb"))
    for tool in tools:
        _check_version(tool, debs)
    for deb in debs:
        subprocess.run(["dpkg", "-x", deb, TOOLS / suite], check=True)
        deb.unlink()
    for tool in tools:
        _write_wrapper(tool)


def _update(suites: Sequence[str]) -> None:
    apt = TOOLS / "apt"
    for folder in (apt / "lists" / "partial", apt / "archives" / "partial", TOOLS / "bin"):
        folder.mkdir(parents=True, exist_ok=True)
    architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
    stanza = (
        f"Status: install ok installed\nVersion: 9999\nArchitecture: {architecture}\nMulti-Arch: allowed\n"
    )
    (apt / "status").write_text("".join(f"Package: {name}\n{stanza}\n" for name in _DECLARED))
    needed = {
        *suites,
        *(suite.removesuffix("-backports") for suite in suites),
    }  # backports lean on their release
    (apt / "sources.list").write_text("".join(f"{deb_line(suite)}\n" for suite in sorted(needed)))
    _apt_get("update")


def _apt_get(*arguments: str) -> None:
    """Runs apt-get on the private state; of the machine's settings only those for the network matter."""
    apt = TOOLS / "apt"
    settings = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Cache::archives": apt / "archives",
        "Debug::NoLocking": "true",  # we hold a lock of our own, and need not wait for the machine's
        "APT::Sandbox::User": "root",  # another user could not enter a private folder
        "APT::Install-Recommends": "false",
        "APT::Update::Error-Mode": "any",
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::Languages": "none",
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    result = subprocess.run(["apt-get", "-qq", *options, *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"apt-get {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")


def _check_version(tool: Tool, debs: Sequence[Path]) -> None:
    package = tool.packages[0]
    deb = next(deb for deb in debs if deb.name.startswith(f"{package}_"))
    found = subprocess.check_output(["dpkg-deb", "--field", deb, "Version"], text=True).strip()
    upstream = found.split(":")[-1]  # without Debian's epoch
    if tool.version.endswith("+"):
        good = subprocess.call(["dpkg", "--compare-versions", upstream, "ge", tool.version[:-1]]) == 0
    else:
        good = upstream.startswith(tool.version)
    if not good:
        sys.exit(f"{tool.name}: {package} {tool.version} is needed; {_suite(tool)} has {found}.")


def _write_wrapper(tool: Tool) -> None:
    root = TOOLS / _suite(tool)
    start = f'"$root/{tool.program}"'
    is_script = (root / tool.program).read_bytes()[:2] == b"#!"
    if not is_script and "LD_LIBRARY_PATH" not in tool.environment:
        # Through its own dynamic linker instead of LD_LIBRARY_PATH, which programs it starts would inherit.
        linker = next(
            linker for lib in ("lib", "usr/lib") for linker in (root / lib).glob("*/ld-linux*.so.*")
        )
        libraries = f"$root/lib/{linker.parent.name}:$root/usr/lib/{linker.parent.name}"
        name = Path(tool.program).name
        start = f'"$root/{linker.relative_to(root)}" --library-path "{libraries}" --argv0 {name} {start}'
    draft = _wrapper(tool).with_name(f".{tool.name}")
    draft.write_text(f'{_head(tool)}{tool.environment} exec {start} "$@"\n')
    draft.chmod(0o755)
    draft.replace(_wrapper(tool))


def main(names: Sequence[str]) -> None:
    known = {tool.name: tool for tool in (*ALL, *BROWSER)}
    unknown = [name for name in names if name not in known and name != "--all"]
    if unknown or not names:
        sys.exit(f"usage: get.py --all | NAME...  (NAME is one of: {' '.join(known)})")
    os.umask(0o022)
    get(ALL if "--all" in names else [known[name] for name in names])


if __name__ == "__main__":
    main(sys.argv[1:])
