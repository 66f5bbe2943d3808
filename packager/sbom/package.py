"""What a list of packages says of one of them, and of all.

A package URL (purl) is how tools that look for known vulnerabilities name a package:
pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS (https://github.com/package-url/purl-spec).
"""

from __future__ import annotations

from dataclasses import dataclass

from packageurl import PackageURL


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package as it is installed."""

    name: str
    version: str
    architecture: str = ""  # empty: not stated
    source: str = ""  # the source package that it was built from, if that has another name or version
    purl: str = ""  # empty: its list gives none

    @property
    def kind(self) -> str:
        """The purl's type, such as "deb"; it decides how versions compare."""
        return self.purl.removeprefix("pkg:").partition("/")[0] if self.purl else ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The packages of one image.

    Attributes:
        packages: ascending.
        lists: where they were found, such as "/var/lib/dpkg/status".
        unread: lists that are there but cannot be read, and why; packages may be missing then.
    """

    packages: tuple[Package, ...]
    lists: tuple[str, ...]
    unread: tuple[str, ...] = ()


def purl(kind: str, namespace: str, name: str, version: str, **qualifiers: str) -> str:
    """A package URL; empty qualifiers are left out."""
    stated = {key: value for key, value in qualifiers.items() if value}
    return PackageURL(kind, namespace or None, name, version or None, stated or None).to_string()
