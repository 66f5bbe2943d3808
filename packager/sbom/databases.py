"""What a package manager noted down in an image: dpkg, opkg, apk and rpm.

dpkg and opkg: stanzas of deb822(5), in one file, or in one for each package, as images without a package
manager have it (status.d). apk: stanzas of one-letter fields (apk-tools: apk-installed(5)).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ota.errors import ConfigError
from packager.sbom import rpm
from packager.sbom.package import Inventory, Package, purl

Files = Mapping[str, Callable[[], bytes]]
"""An image's regular files by path ("/var/lib/dpkg/status"); each is read when it is called."""

_GONE: Final = ("not-installed", "config-files")
_DEB822_SOURCE: Final = re.compile(r"(\S+)(?: \((\S+)\))?")
_RELEASES: Final = ("/usr/lib/os-release", "/etc/os-release")


def installed(files: Files) -> Inventory:
    """The packages that the package manager of an image knows as installed.

    Raises:
        ConfigError: "sbom-format".
    """
    distribution = _distribution(files)
    packages: set[Package] = set()
    lists, unread = [], []
    for path in sorted(files):
        for pattern, read in _LISTS.items():
            if not re.fullmatch(pattern, path):
                continue
            if isinstance(read, str):
                unread.append(f"{path}: {read}")
            else:
                lists.append(path)
                packages.update(read(files, path, distribution))
    return Inventory(tuple(sorted(packages)), tuple(lists), tuple(unread))


def _distribution(files: Files) -> tuple[str, str]:
    """The ID of os-release(5), and ID-VERSION_ID; empty where they are not stated."""
    for path in _RELEASES:
        if path in files:
            text = files[path]().decode("utf-8", "replace")
            said = dict(re.findall(r"^(ID|VERSION_ID)=[\"']?([^\"'\n]*)", text, re.MULTILINE))
            return said.get("ID", ""), "-".join(filter(None, (said.get("ID"), said.get("VERSION_ID"))))
    return "", ""


def _deb(files: Files, path: str, distribution: tuple[str, str]) -> Iterator[Package]:
    namespace, distro = distribution
    for stanza, name, version in _stanzas(files, path, "Package", "Version"):
        found = _DEB822_SOURCE.fullmatch(stanza.get("Source", ""))
        source = [word for word in found.groups() if word] if found else []
        architecture = stanza.get("Architecture", "")
        url = purl("deb", namespace or "debian", name, version, arch=architecture, distro=distro,
                   upstream="@".join(source))  # fmt: skip
        yield Package(name, version, architecture, " ".join(source), url)


def _opkg(files: Files, path: str, distribution: tuple[str, str]) -> Iterator[Package]:
    for stanza, name, version in _stanzas(files, path, "Package", "Version"):
        architecture = stanza.get("Architecture", "")
        url = purl("opkg", distribution[0], name, version, arch=architecture, distro=distribution[1])
        yield Package(name, version, architecture, stanza.get("Source", ""), url)


def _apk(files: Files, path: str, distribution: tuple[str, str]) -> Iterator[Package]:
    namespace, distro = distribution
    for stanza, name, version in _stanzas(files, path, "P", "V"):
        origin = stanza.get("o", name)
        source = "" if origin == name else origin
        url = purl("apk", namespace or "alpine", name, version, arch=stanza.get("A", ""), distro=distro,
                   upstream=source)  # fmt: skip
        yield Package(name, version, stanza.get("A", ""), source, url)


def _rpm(files: Files, path: str, distribution: tuple[str, str]) -> Iterator[Package]:
    log = files.get(f"{path}-wal", bytes)()
    for header in rpm.headers(files[path](), log, path):
        if header["name"] == "gpg-pubkey":  # a key that rpm trusts, noted down like a package
            continue
        version = f"{header['version']}-{header['release']}"
        url = purl("rpm", distribution[0], header["name"], version, arch=header["architecture"],
                   epoch=header["epoch"], distro=distribution[1], upstream=header["source"])  # fmt: skip
        full = f"{header['epoch']}:{version}" if header["epoch"] else version
        yield Package(header["name"], full, header["architecture"], header["source"], url)


def _stanzas(files: Files, path: str, *needed: str) -> Iterator[tuple[Mapping[str, str], str, str]]:
    """The fields of each package that is installed; and its name and version, as those fields are called."""
    try:
        text = files[path]().decode()
    except UnicodeDecodeError as error:
        raise ConfigError("sbom-format", f"{path} is no list of packages: {error}") from error
    for block in re.split(r"\n\n+", text.strip("\n")):
        # What follows a first line of a field starts with a space.
        stanza = dict(re.findall(r"^([^\s:]+):[ \t]*(.*?)[ \t]*$", block, re.MULTILINE))
        # "install ok installed"; in status.d there is no such field.
        if not block or stanza.get("Status", "").split(" ")[-1] in _GONE:
            continue
        name, version = (stanza.get(field, "") for field in needed)
        if not (name and version):
            lines = block.splitlines()
            raise ConfigError(
                "sbom-format",
                f"{path}: a package is not described as it must be",
                expected=f"fields {' and '.join(needed)}",
                found=repr(lines[0][:80]),
            )
        yield stanza, name, version


_LISTS: Final[Mapping[str, str | Callable[[Files, str, tuple[str, str]], Iterator[Package]]]] = {
    r"/var/lib/dpkg/status": _deb,
    r"/var/lib/dpkg/status\.d/[^/]+(?<!\.md5sums)": _deb,
    r"/(usr|var)/lib/opkg/status": _opkg,
    r"/(usr/)?lib/apk/db/installed": _apk,
    r"/(usr/lib/sysimage|var/lib)/rpm/rpmdb\.sqlite": _rpm,
    r"/(usr/lib/sysimage|var/lib)/rpm/Packages": "a Berkeley DB of rpm is not known here",
    r"/(usr/lib/sysimage|var/lib)/rpm/Packages\.db": "an ndb of rpm is not known here",
}
"""Where a list stands, and what reads it, or why nothing does."""
