"""A software bill of materials that someone else made: SPDX 2.x or 3 in JSON, or CycloneDX in JSON.

Read are name, version and package URL of what is installed. https://spdx.github.io/spdx-spec/,
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from packageurl import PackageURL

from ota.errors import ConfigError
from packager.sbom.package import Inventory, Package

Json = Mapping[str, Any]  # as json.loads gives it; each value is looked at before it is believed

MAX_SIZE: Final = 256 << 20  # bytes; that of a Yocto image with all its build steps is some 50 MB

_NOT_INSTALLED: Final = ("source", "archive", "container", "file", "data")


def parse(text: bytes, where: str, image: str | None = None) -> Inventory:
    """The packages that a document lists.

    Args:
        text: the document.
        where: its name, for messages.
        image: where the document describes several images, as ours do, the name of the one that counts.

    Raises:
        ConfigError: "sbom-format".
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError("sbom-format", f"{where} is not JSON: {error}") from error
    for fits, read in _FORMS:
        if isinstance(document, dict) and fits(document):
            packages = {package for package in read(document, image) if package.name}
            return Inventory(tuple(sorted(packages)), (where,))
    raise ConfigError(
        "sbom-format", f"{where} is of no known form", expected="SPDX 2.x or 3, or CycloneDX, in JSON"
    )


def _spdx2(document: Json, image: str | None) -> Iterator[Package]:
    relations = [
        (
            _text(relation, "spdxElementId"),
            _text(relation, "relationshipType"),
            _text(relation, "relatedSpdxElement"),
        )
        for relation in _objects(document, "relationships")
    ]
    described = {other for _, kind, other in relations if kind == "DESCRIBES"}
    described.update(_texts(document, "documentDescribes"))
    containing = {element for element, kind, _ in relations if kind in ("CONTAINS", "DEPENDS_ON")}
    packages = _objects(document, "packages")
    others = {_text(package, "SPDXID") for package in packages if _text(package, "name") != image}
    elsewhere = {
        other for element, kind, other in relations if kind == "CONTAINS" and element in others & described
    }
    for package in packages:
        if image is not None and _text(package, "SPDXID") in elsewhere:
            continue
        # What is described and contains the others is the image itself.
        if _text(package, "SPDXID") in described & containing:
            continue
        if _text(package, "primaryPackagePurpose").lower() in _NOT_INSTALLED:
            continue
        urls = [
            _text(reference, "referenceLocator")
            for reference in _objects(package, "externalRefs")
            if _text(reference, "referenceType") == "purl"
        ]
        yield _package(_text(package, "name"), _text(package, "versionInfo"), urls[0] if urls else "")


def _spdx3(document: Json, image: str | None) -> Iterator[Package]:
    packages = [item for item in _objects(document, "@graph") if _text(item, "type") == "software_Package"]
    # Where it is said what is installed, as Yocto does, only that is: the others took part in the build.
    purposes = {_text(package, "software_primaryPurpose") for package in packages}
    for package in packages:
        purpose = _text(package, "software_primaryPurpose")
        if purpose == "install" if "install" in purposes else purpose not in _NOT_INSTALLED:
            version, url = _text(package, "software_packageVersion"), _text(package, "software_packageUrl")
            yield _package(_text(package, "name"), version, url)


def _cyclonedx(document: Json, image: str | None) -> Iterator[Package]:
    for component in _objects(document, "components"):
        if _text(component, "type") not in _NOT_INSTALLED:
            name = "/".join(filter(None, (_text(component, "group"), _text(component, "name"))))
            yield _package(name, _text(component, "version"), _text(component, "purl"))
        yield from _cyclonedx(component, image)


_FORMS: Final[tuple[tuple[Callable[[Json], bool], Callable[[Json, str | None], Iterable[Package]]], ...]] = (
    (lambda document: _text(document, "spdxVersion").startswith("SPDX-2."), _spdx2),
    (lambda document: "spdx.org/rdf/3." in str(document.get("@context")), _spdx3),
    (lambda document: _text(document, "bomFormat") == "CycloneDX", _cyclonedx),
)
"""How to tell a form, and what reads it."""


def _package(name: str, version: str, url: str) -> Package:
    """A package; its architecture and source are what its URL says of them."""
    try:
        qualifiers = PackageURL.from_string(url).qualifiers if url else {}
    except ValueError:
        return Package(name, version)
    assert isinstance(qualifiers, dict), qualifiers  # a text it is only by request
    source = qualifiers.get("upstream", "").replace("@", " ")
    return Package(name, version, qualifiers.get("arch", ""), source, url)


def _text(value: Json, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _texts(value: Json, name: str) -> list[str]:
    found = value.get(name)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _objects(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
