"""The software bill of materials of a release, and what changed since earlier ones: SPDX 2.3 in JSON.

Each image is a package that contains those installed in it. What changed stands in annotations, not in
packages of its own: programs that look for vulnerabilities take every package of a document as installed.
Equal arguments give equal bytes. https://spdx.github.io/spdx-spec/v2.3/
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from packager.sbom.changes import Difference
from packager.sbom.package import Package

Json = dict[str, object]

_TOOL: Final = "Tool: otakit"
_UNSAID: Final = {"downloadLocation": "NOASSERTION", "filesAnalyzed": False}


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the release, and what is in it."""

    name: str
    sha256: str
    packages: Sequence[Package]
    since: Mapping[str, Difference] = field(default_factory=dict)  # version of an earlier release -> changes


def render(product: str, version: str, images: Sequence[Image], *, time: int) -> bytes:
    """The document of a release.

    Args:
        product, version: of the release.
        images: of the release; names are unique.
        time: seconds since 1970, as which the document states when it was made.
    """
    created = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    elements = [element for image in images for element in _elements(image, version, created)]
    document: Json = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{product}-{version}",
        "creationInfo": {"created": created, "creators": [_TOOL]},
        "packages": elements,
        "relationships": [relation for image in images for relation in _relations(image)],
    }
    # A namespace is never used twice for different content (6.5), and here it is the content's digest.
    content = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document))
    name = re.sub(r"[^A-Za-z0-9.-]", "-", f"{product}-{version}")
    document["documentNamespace"] = f"https://spdx.org/spdxdocs/{name}-{content}"
    return (json.dumps(document, indent=1) + "\n").encode()


def _elements(image: Image, version: str, created: str) -> Iterator[Json]:
    removed = [
        f"removed since {old}: {package.name} {package.version} {package.architecture}".rstrip()
        for old, difference in image.since.items()
        for package in difference.removed
    ]
    yield {
        "SPDXID": _id(image),
        "name": image.name,
        "versionInfo": version,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "checksums": [{"algorithm": "SHA256", "checksumValue": image.sha256}],
        **_UNSAID,
        **_annotations(removed, created),
    }
    said = _said(image.since)
    for number, package in enumerate(image.packages):
        yield {
            "SPDXID": _id(image, number),
            "name": package.name,
            "versionInfo": package.version,
            "primaryPackagePurpose": "INSTALL",
            **({"sourceInfo": f"built from: {package.source}"} if package.source else {}),
            **({"externalRefs": [_reference(package.purl)]} if package.purl else {}),
            **_UNSAID,
            **_annotations(said.get(package, []), created),
        }


def _relations(image: Image) -> Iterator[Json]:
    yield _relation("SPDXRef-DOCUMENT", "DESCRIBES", _id(image))
    for number in range(len(image.packages)):
        yield _relation(_id(image), "CONTAINS", _id(image, number))


def _said(since: Mapping[str, Difference]) -> Mapping[Package, list[str]]:
    """What is to be said of a package that is new, or was another."""
    said: dict[Package, list[str]] = {}
    for old, difference in since.items():
        for package in difference.added:
            said.setdefault(package, []).append(f"added since {old}")
        for word, changes in (("upgraded", difference.upgraded), ("downgraded", difference.downgraded)):
            for change in changes:
                said.setdefault(change.new, []).append(f"{word} since {old}: from {change.old.version}")
    return said


def _annotations(comments: Sequence[str], created: str) -> Json:
    annotations = [
        {"annotationType": "OTHER", "annotator": _TOOL, "annotationDate": created, "comment": comment}
        for comment in comments
    ]
    return {"annotations": annotations} if annotations else {}


def _reference(purl: str) -> Json:
    return {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }


def _relation(element: str, kind: str, other: str) -> Json:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": other}


def _id(image: Image, number: int | None = None) -> str:
    """Letters, digits, dots and hyphens (3.2)."""
    name = "".join(sign if sign.isascii() and sign.isalnum() else f"-{ord(sign):x}-" for sign in image.name)
    return f"SPDXRef-Image-{name}" + ("" if number is None else f"-Package-{number + 1}")
